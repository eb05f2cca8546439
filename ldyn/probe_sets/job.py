"""`ldyn probes` as a builder, top to bottom: the data, the draw, the initial model, the rephraser, the files."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from ldyn.answers.answer_cache import AnswerCache
from ldyn.answers.api import ApiModel
from ldyn.answers.api.budget import Spent
from ldyn.answers.chats import ChatModel, Progress
from ldyn.data.sources import data_fingerprint, load_data
from ldyn.errors import Interrupted
from ldyn.probe_sets.examples import Examples, check_disjoint, draw_examples
from ldyn.probe_sets.own_answers import one_respondent, with_own_answers
from ldyn.probe_sets.plan import BuildPlan
from ldyn.probe_sets.rephrases import open_rephraser, plan_of, texts_to_write, with_rephrases
from ldyn.probe_sets.rephrasing.tasks import Templates
from ldyn.probe_sets.rephrasing.writer import Dropped
from ldyn.probe_sets.settings import API, MODEL, BuildRequest
from ldyn.probe_sets.writing import write_dropped, write_examples, write_manifest
from ldyn.probes.builder import probe_fingerprint
from ldyn.processes.group import quiet_libraries
from ldyn.run.manifest import describe_environment, now

Progresses = Callable[[str], Progress]
"""What is being made -> who is told how far it is."""


@dataclass
class ProbeSetBuild:
    """The set as far as it is built. ``spent``: what an endpoint was really asked; None without one."""

    plan: BuildPlan
    examples: Examples
    counts: Counter[str]
    hashes: dict[str, Any] = field(default_factory=dict)
    dropped: Sequence[Dropped] = ()
    spent: Spent | None = None


def plan_build(request: BuildRequest) -> BuildPlan:
    """Load the data, draw, and find what is to be asked. Raises an LdynError for what cannot be built."""
    quiet_libraries()
    _check_models(request)
    data = load_data(request.dataset, request.seed)
    drawn = draw_examples(data, request)
    writings = texts_to_write(drawn.examples, request)
    return BuildPlan(request, data, drawn, writings, plan_of(writings, request, AnswerCache(request.cache)))


def _check_models(request: BuildRequest) -> None:
    """Raises an LdynError for a word that means no model, before anything is loaded."""
    if request.own_answer is not None:
        one_respondent(request.own_answer.who, "--initial-model")
    if request.rephraser.who.startswith(MODEL):
        one_respondent(request.rephraser.who.removeprefix(MODEL), "--rephraser")


def build_probe_set(plan: BuildPlan, progress: Progresses) -> ProbeSetBuild:
    """Ask what is to be asked and write the set. Raises an LdynError, or Interrupted; what was answered is kept."""
    request, cache = plan.request, AnswerCache(plan.request.cache)
    build = ProbeSetBuild(plan, plan.drawn.examples, Counter(plan.drawn.counts))
    # Opened before the initial model is loaded, so that a missing key is said at once.
    endpoint = open_rephraser(request, cache, progress("rephrases")) if request.rephraser.who == API else None
    with _resumable(request):
        if request.own_answer is not None:
            _add_own_answers(build, cache, progress("own answers"))
        if plan.writings:
            _add_rephrases(build, endpoint or open_rephraser(request, cache, progress("rephrases")))
    _write(build)
    return build


@contextmanager
def _resumable(request: BuildRequest) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        kept = f"What was answered is kept in {request.cache}; run the same command again to go on."
        raise Interrupted(signal.SIGINT, f"Stopped. {kept}") from error


def _add_own_answers(build: ProbeSetBuild, cache: AnswerCache, progress: Progress) -> None:
    request = build.plan.request
    assert request.own_answer is not None
    own = with_own_answers(build.examples, request.own_answer, request, cache, progress)
    build.examples, build.hashes["initial_model"] = own.examples, own.fingerprint
    build.counts.update(own.counts)


def _add_rephrases(build: ProbeSetBuild, model: ChatModel) -> None:
    config = build.plan.request.rephraser
    rephrased = with_rephrases(build.examples, build.plan.writings, model, config.tries)
    build.examples, build.dropped = rephrased.examples, rephrased.dropped
    build.counts.update(rephrased.counts)
    build.hashes["templates"] = Templates(config.templates).hashes
    if isinstance(model, ApiModel):
        build.spent = model.spent
        model.close()


def _write(build: ProbeSetBuild) -> None:
    plan, request = build.plan, build.plan.request
    check_disjoint(build.examples, plan.data.pairs)
    build.hashes |= {"data": data_fingerprint(plan.data), "probes": probe_fingerprint(build.examples)}
    build.hashes["files"] = write_examples(build.examples, request.dataset.encoding.separator, request.out)
    write_dropped(build.dropped, request.out)
    write_manifest(_manifest(build), request.out)


def _manifest(build: ProbeSetBuild) -> Mapping[str, Any]:
    plan, endpoint = build.plan, build.plan.request.rephraser.endpoint
    cost = None if build.spent is None or endpoint is None else build.spent.cost(endpoint)
    return {
        **describe_environment(),
        "created": now(),
        "settings": asdict(plan.request),
        "data": {
            "name": plan.data.name,
            "version": plan.data.version,
            "training_pairs": len(plan.data.pairs),
            "counts": dict(plan.data.counts),
        },
        "counts": dict(sorted(build.counts.items())),
        "estimated": asdict(plan.asking.most) if plan.writings else None,
        "spent": None if build.spent is None else {**asdict(build.spent), "cost": cost},
        "hashes": build.hashes,
    }
