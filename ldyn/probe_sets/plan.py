"""What a build would make and ask, before anything is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ldyn.answers.api.client import Plan
from ldyn.data.text import visible
from ldyn.probe_sets.examples import Drawn
from ldyn.probe_sets.own_answers import lacking
from ldyn.probe_sets.rephrasing.tasks import Writing
from ldyn.probe_sets.settings import OWN_ANSWER, BuildRequest
from ldyn.records import PreferenceData


@dataclass(frozen=True)
class BuildPlan:
    """Everything that is known before the first question: the data, the examples drawn, the texts to be written."""

    request: BuildRequest
    data: PreferenceData
    drawn: Drawn
    writings: Sequence[Writing]
    asking: Plan

    @property
    def n_own_answers(self) -> int:
        """Questions that the initial model is to answer."""
        return 0 if self.request.own_answer is None else len(lacking(self.drawn.examples))

    def summary(self) -> Iterator[str]:
        """Lines on what will be asked, and of what."""
        own, who = self.request.own_answer, self.request.rephraser.who
        numbers = " and ".join(f"{len(members):,} {split}" for split, members in self.drawn.examples.items())
        yield f"{numbers} examples of {visible(self.data.name)} ({len(self.data.pairs):,} training pairs)"
        if "test" not in self.drawn.examples:
            yield "no unseen question, so no probe_test.jsonl and no irr_test; hold some out (dataset.n_held_out=N)"
        if own is not None:
            length = own.max_new_tokens or self.request.dataset.encoding.max_response_tokens
            yield f"{OWN_ANSWER}: {self.n_own_answers:,} {own.mode} answers of {own.who}, of at most {length} tokens"
        if self.writings:
            number = Counter(writing.probe for writing in self.writings)
            yield f"by {who}: {', '.join(f'{count:,} {probe}' for probe, count in number.items())}"
            yield from self._to_ask()

    def _to_ask(self) -> Iterator[str]:
        endpoint, tries = self.request.rephraser.endpoint, self.request.rephraser.tries
        if endpoint is None:
            most = self.asking.most
            tokens = f"about {most.prompt_tokens:,} prompt and {most.answer_tokens:,} answer tokens"
            yield f"to be asked, at most: {most.requests:,} requests, {tokens}, unless {self.request.cache} knows them"
        else:
            yield f"{self.asking.cached:,} of the requests are answered in {self.request.cache}"
            yield f"to be asked of {endpoint.model} at {endpoint.base_url}, at most: {self.asking.most.words(endpoint)}"
        if tries > 1 and self.request.rephraser.temperature > 0:
            yield f"what is no use (empty, cut, unchanged, with markup …) is asked for again, {tries} times in all"

    def sample(self) -> Iterator[str]:
        """The first request of each kind of prompt, as it would be sent."""
        shown: set[str] = set()
        for writing in self.writings:
            kind = writing.probe.removeprefix("chosen_").removeprefix("reject_")
            if kind not in shown:
                shown.add(kind)
                yield f"--- {writing.probe} of {writing.split} {visible(writing.example_id)}"
                yield from (visible(content) for _, content in writing.request.messages)
