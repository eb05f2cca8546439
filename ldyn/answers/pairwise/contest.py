"""Two answers to one question, judged in both orders.

A judge sees two answers in an order and prefers the first, the second or neither. Each contest is asked twice, with the
answers exchanged. What both verdicts say is the outcome; where they disagree, or one of them is a tie, it is a tie.
Where one of them cannot be read, the contest is *unjudged*: counted, and never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Place = Literal["first", "second", "tie"]
Outcome = Literal["a", "b", "tie"]


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer as it lies in samples.jsonl. What is not known is None.

    stopped: whether it ended by itself. is_right: it states the fact asked for and no other value of it.
    borrows: it states the fact of another training question. n_tokens: EOS counts.
    """

    text: str
    stopped: bool | None = None
    is_right: bool | None = None
    borrows: bool | None = None
    n_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Contest:
    """The answers of ``a`` and ``b`` to one prompt. ``sample`` counts several answers of one mode to one prompt."""

    split: str
    example_id: str
    mode: str
    sample: int
    prompt: str
    a: GivenAnswer
    b: GivenAnswer

    @property
    def question(self) -> tuple[str, str]:
        """What counts as one observation: several samples of one question are not independent."""
        return self.split, self.example_id


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a judge is shown: it does not know whose answers they are."""

    example_id: str
    prompt: str
    first: GivenAnswer
    second: GivenAnswer


@dataclass(frozen=True, slots=True)
class Verdict:
    """``winner`` is None where the judge's answer could not be read; ``said`` is that answer, or a score."""

    winner: Place | None
    said: str = ""


class PairJudge(Protocol):
    """Prefers one of two answers."""

    @property
    def name(self) -> str:
        """What is written into results."""

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison, in order. Raises an LdynError where the judge cannot be had."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A contest with the verdicts on (a, b) and on (b, a); ``outcome`` is None where one of them could not be read."""

    contest: Contest
    forward: Verdict
    backward: Verdict

    @property
    def outcome(self) -> Outcome | None:
        """What both verdicts say."""
        if self.forward.winner is None or self.backward.winner is None:
            return None
        first, second = self.preferences
        return first if first == second and first is not None else "tie"

    @property
    def preferences(self) -> tuple[Outcome | None, Outcome | None]:
        """Whom each of the two verdicts prefers."""
        return _preferred(self.forward.winner, "a", "b"), _preferred(self.backward.winner, "b", "a")

    @property
    def orders_disagree(self) -> bool:
        """Whether the order of the answers made the difference."""
        return self.outcome is not None and self.preferences[0] != self.preferences[1]


def _preferred(winner: Place | None, first: Outcome, second: Outcome) -> Outcome | None:
    names: dict[Place, Outcome] = {"first": first, "second": second, "tie": "tie"}
    return None if winner is None else names[winner]


def comparisons_of(contests: Sequence[Contest]) -> list[Comparison]:
    """Each contest twice: a first, then b first."""
    orders = [(one, answers) for one in contests for answers in ((one.a, one.b), (one.b, one.a))]
    return [Comparison(one.example_id, one.prompt, *answers) for one, answers in orders]


def judge_contests(judge: PairJudge, contests: Sequence[Contest]) -> list[Judgement]:
    """Ask the judge about each contest in both orders, all at once, so that it may work on many at a time."""
    verdicts = judge.compare(comparisons_of(contests))
    return [
        Judgement(contest, forward, backward)
        for contest, forward, backward in zip(contests, verdicts[::2], verdicts[1::2], strict=True)
    ]
