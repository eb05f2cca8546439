"""Build a probe set: the data, the draw, the rephrases, the files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ldyn.answers.api_model import ApiModel, requests_left
from ldyn.answers.chats import AnswerCache, Progress
from ldyn.data.sources import data_fingerprint, load_data
from ldyn.data.text import visible
from ldyn.probe_sets.examples import Drawn, Examples, check_disjoint, draw_examples
from ldyn.probe_sets.output import write_examples, write_manifest
from ldyn.probe_sets.rephrase_texts import Templates, Writing
from ldyn.probe_sets.rephrases import texts_to_write, with_rephrases
from ldyn.probe_sets.settings import BuildRequest
from ldyn.probes.builder import probe_fingerprint
from ldyn.processes.group import quiet_libraries
from ldyn.records import PreferenceData
from ldyn.run.manifest import describe_environment, now


@dataclass(frozen=True)
class BuildPlan:
    """The data, the examples drawn, the texts to be written and how many requests they need."""

    request: BuildRequest
    data: PreferenceData
    drawn: Drawn
    writings: Sequence[Writing]
    n_requests: int

    def summary(self) -> Iterator[str]:
        numbers = " and ".join(f"{len(members):,} {split}" for split, members in self.drawn.examples.items())
        yield f"{numbers} examples of {visible(self.data.name)} ({len(self.data.pairs):,} training pairs)"
        if "test" not in self.drawn.examples:
            yield "no unseen question, so no probe_test.jsonl and no irr_test; set dataset.n_held_out=N"
        rephraser = self.request.rephraser
        if rephraser.endpoint is None:
            return
        asked = Counter(writing.probe for writing in self.writings)
        yield f"by {rephraser.endpoint.model}: {', '.join(f'{count:,} {probe}' for probe, count in asked.items())}"
        again = ", and again for unusable texts" if rephraser.tries > 1 and rephraser.temperature > 0 else ""
        yield f"{self.n_requests:,} requests are to be sent to {rephraser.endpoint.base_url}{again}"

    def sample(self) -> Iterator[str]:
        """The first request of each kind of prompt, as it would be sent."""
        shown: set[str] = set()
        for writing in self.writings:
            kind = writing.probe.removeprefix("chosen_").removeprefix("reject_")
            if kind not in shown:
                shown.add(kind)
                yield f"--- {writing.probe} of {writing.split} {visible(writing.example_id)}"
                yield from (visible(content) for _, content in writing.request.messages)


@dataclass
class ProbeSetBuild:
    """The set as far as it is built. ``n_requests``: those sent to an endpoint."""

    plan: BuildPlan
    examples: Examples
    counts: Counter[str]
    hashes: dict[str, Any] = field(default_factory=dict)
    n_requests: int = 0


def plan_build(request: BuildRequest) -> BuildPlan:
    """Load the data, draw, and find what has to be requested. Raises an LdynError for what cannot be built."""
    quiet_libraries()
    data = load_data(request.dataset, request.seed)
    drawn = draw_examples(data, request)
    writings, endpoint = texts_to_write(drawn.examples, request), request.rephraser.endpoint
    asked = [writing.request for writing in writings]
    n_requests = requests_left(endpoint, AnswerCache(request.cache), asked) if endpoint else 0
    return BuildPlan(request, data, drawn, writings, n_requests)


def build_probe_set(plan: BuildPlan, progress: Progress) -> ProbeSetBuild:
    """Request all texts and write the set. Raises an LdynError, or Interrupted; answers so far are cached."""
    request, endpoint = plan.request, plan.request.rephraser.endpoint
    build = ProbeSetBuild(plan, plan.drawn.examples, Counter(plan.drawn.counts))
    if endpoint is not None and plan.writings:
        model = ApiModel(endpoint, AnswerCache(request.cache), progress)
        build.examples, counts = with_rephrases(build.examples, plan.writings, model, request.rephraser.tries)
        build.counts.update(counts)
        build.hashes["templates"] = Templates().hashes
        build.n_requests = model.n_sent
    check_disjoint(build.examples, plan.data.pairs)
    build.hashes |= {"data": data_fingerprint(plan.data), "probes": probe_fingerprint(build.examples)}
    build.hashes["files"] = write_examples(build.examples, request.dataset.encoding.separator, request.out)
    write_manifest(_manifest(build), request.out)
    return build


def _manifest(build: ProbeSetBuild) -> Mapping[str, Any]:
    plan = build.plan
    data = {name: getattr(plan.data, name) for name in ("name", "version", "counts")}
    return {
        **describe_environment(),
        "created": now(),
        "settings": asdict(plan.request),
        "data": {**data, "training_pairs": len(plan.data.pairs)},
        "counts": dict(sorted(build.counts.items())),
        "requests": build.n_requests,
        "hashes": build.hashes,
    }
