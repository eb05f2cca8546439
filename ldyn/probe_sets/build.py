"""Build a probe set: the data, the draw, the rephraser, the files."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from ldyn.answers.api_costs import Plan, Spent
from ldyn.answers.api_model import ApiModel
from ldyn.answers.chats import AnswerCache, ChatModel, Progress
from ldyn.data.sources import data_fingerprint, load_data
from ldyn.data.text import visible
from ldyn.errors import Interrupted
from ldyn.probe_sets.examples import Drawn, Examples, check_disjoint, draw_examples
from ldyn.probe_sets.output import write_dropped, write_examples, write_manifest
from ldyn.probe_sets.rephrase_texts import Templates, Writing
from ldyn.probe_sets.rephrases import Dropped, one_model, open_rephraser, plan_of, texts_to_write, with_rephrases
from ldyn.probe_sets.settings import MODEL, BuildRequest
from ldyn.probes.builder import probe_fingerprint
from ldyn.processes.group import quiet_libraries
from ldyn.records import PreferenceData
from ldyn.run.manifest import describe_environment, now


@dataclass(frozen=True)
class BuildPlan:
    """The data, the examples drawn and the texts to be written, before any request."""

    request: BuildRequest
    data: PreferenceData
    drawn: Drawn
    writings: Sequence[Writing]
    asking: Plan

    def summary(self) -> Iterator[str]:
        """Lines on what will be asked, and of what."""
        numbers = " and ".join(f"{len(members):,} {split}" for split, members in self.drawn.examples.items())
        yield f"{numbers} examples of {visible(self.data.name)} ({len(self.data.pairs):,} training pairs)"
        if "test" not in self.drawn.examples:
            yield "no unseen question, so no probe_test.jsonl and no irr_test; set dataset.n_held_out=N"
        if self.writings:
            asked = Counter(writing.probe for writing in self.writings)
            yield f"by {self.request.rephraser.who}: {', '.join(f'{count:,} {probe}' for probe, count in asked.items())}"
            yield from self._to_ask()

    def _to_ask(self) -> Iterator[str]:
        endpoint, tries = self.request.rephraser.endpoint, self.request.rephraser.tries
        if endpoint is None:
            most = self.asking.most
            tokens = f"about {most.prompt_tokens:,} prompt and {most.answer_tokens:,} answer tokens"
            yield f"to be asked, at most: {most.requests:,} requests, {tokens}, unless {self.request.cache} holds them"
        else:
            yield f"{self.asking.cached:,} of the requests are answered in {self.request.cache}"
            yield f"to be asked of {endpoint.model} at {endpoint.base_url}, at most: {self.asking.most.words(endpoint)}"
        if tries > 1 and self.request.rephraser.temperature > 0:
            yield f"unusable texts (empty, cut, unchanged, with markup …) are requested again, {tries} times in all"

    def sample(self) -> Iterator[str]:
        """The first request of each kind of prompt, as it would be sent."""
        shown: set[str] = set()
        for writing in self.writings:
            kind = writing.probe.removeprefix("chosen_").removeprefix("reject_")
            if kind not in shown:
                shown.add(kind)
                yield f"--- {writing.probe} of {writing.split} {visible(writing.example_id)}"
                yield from (visible(content) for _, content in writing.request.messages)


Progresses = Callable[[str], Progress]
"""What is being made -> the progress display for it."""


@dataclass
class ProbeSetBuild:
    """The set as far as it is built. ``spent``: the requests sent to an endpoint; None without one."""

    plan: BuildPlan
    examples: Examples
    counts: Counter[str]
    hashes: dict[str, Any] = field(default_factory=dict)
    dropped: Sequence[Dropped] = ()
    spent: Spent | None = None


def plan_build(request: BuildRequest) -> BuildPlan:
    """Load the data, draw, and find what has to be requested. Raises an LdynError for what cannot be built."""
    quiet_libraries()
    if request.rephraser.who.startswith(MODEL):  # an unknown model is reported before anything is loaded
        one_model(request.rephraser.who.removeprefix(MODEL), "rephraser.who")
    data = load_data(request.dataset, request.seed)
    drawn = draw_examples(data, request)
    writings = texts_to_write(drawn.examples, request)
    return BuildPlan(request, data, drawn, writings, plan_of(writings, request, AnswerCache(request.cache)))


def build_probe_set(plan: BuildPlan, progress: Progresses) -> ProbeSetBuild:
    """Request all texts and write the set. Raises an LdynError, or Interrupted; answers so far are cached."""
    request, cache = plan.request, AnswerCache(plan.request.cache)
    build = ProbeSetBuild(plan, plan.drawn.examples, Counter(plan.drawn.counts))
    if plan.writings:
        with _resumable(request):
            _add_rephrases(build, open_rephraser(request, cache, progress("rephrases")))
    check_disjoint(build.examples, plan.data.pairs)
    build.hashes |= {"data": data_fingerprint(plan.data), "probes": probe_fingerprint(build.examples)}
    build.hashes["files"] = write_examples(build.examples, request.dataset.encoding.separator, request.out)
    write_dropped(build.dropped, request.out)
    write_manifest(_manifest(build), request.out)
    return build


@contextmanager
def _resumable(request: BuildRequest) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        kept = f"Answers so far are kept in {request.cache}; run the same command again to resume."
        raise Interrupted(signal.SIGINT, f"Stopped. {kept}") from error


def _add_rephrases(build: ProbeSetBuild, model: ChatModel) -> None:
    config = build.plan.request.rephraser
    build.examples, build.dropped, counts = with_rephrases(build.examples, build.plan.writings, model, config.tries)
    build.counts.update(counts)
    build.hashes["templates"] = Templates(config.templates).hashes
    if isinstance(model, ApiModel):
        build.spent = model.spent


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
