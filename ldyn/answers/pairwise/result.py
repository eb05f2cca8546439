"""What the judgements of one pair of answer sets come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from ldyn.answers.pairwise.contest import Judgement
from ldyn.answers.pairwise.length_control import LengthControlled, length_controlled
from ldyn.answers.pairwise.statistics import Rate, difference_seen, questions_needed, wilson

_WINS = {"a": 1.0, "tie": 0.5, "b": 0.0}


@dataclass(frozen=True, slots=True)
class Lengths:
    """Mean length of the answers of one side, those that could not be judged included; tokens where they are known."""

    characters: float
    words: float
    tokens: float | None


@dataclass(frozen=True)
class PairwiseResult:
    """Whose answers win, from the side of a. Ties are half a win; the observation is the question.

    n_contests: pairs of answers; wins, losses, ties of a among those judged; unjudged: those of which a verdict could
    not be read. orders_disagree: ties because the two orders gave different verdicts. first_preferred: the share of
    decided verdicts that prefer the answer shown first (1/2 for a judge that does not care for order).
    win_rate: over questions with a judgement. at_worst, at_best: the rate if b, or a, had won all that is unjudged.
    at_equal_length: see ``length_control``. unanswered: answers of one side to questions that the other lacks.
    difference: the difference from 1/2 that the user asks about; needed: questions that it takes; seen: the smallest
    difference that this number of questions can show.
    """

    a: str
    b: str
    mode: str
    judge: str
    n_questions: int
    n_contests: int
    wins: int
    losses: int
    ties: int
    unjudged: int
    orders_disagree: int
    first_preferred: Rate
    win_rate: Rate
    at_worst: float
    at_best: float
    at_equal_length: LengthControlled
    lengths_a: Lengths
    lengths_b: Lengths
    unanswered: dict[str, int]
    difference: float
    needed: int
    seen: float

    def as_object(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)


def summarise(
    names: tuple[str, str],
    judge: str,
    judgements: Sequence[Judgement],
    *,
    unanswered: dict[str, int],
    difference: float,
) -> PairwiseResult:
    """The result of judging ``names`` = (a, b)."""
    counts = Counter(judgement.outcome for judgement in judgements)
    judged = [judgement for judgement in judgements if judgement.outcome is not None]
    outcomes = _by_question(judged, {judgement: _WINS[str(judgement.outcome)] for judgement in judged})
    lengths = _by_question(judged, {one: float(_length_difference(one)) for one in judged})
    return PairwiseResult(
        a=names[0],
        b=names[1],
        mode=judgements[0].contest.mode,
        judge=judge,
        n_questions=len({judgement.contest.question for judgement in judgements}),
        n_contests=len(judgements),
        wins=counts["a"],
        losses=counts["b"],
        ties=counts["tie"],
        unjudged=counts[None],
        orders_disagree=sum(judgement.orders_disagree for judgement in judgements),
        first_preferred=_first_preferred(judgements),
        win_rate=wilson(outcomes),
        at_worst=_rate_if_unjudged_count_as(0.0, judgements),
        at_best=_rate_if_unjudged_count_as(1.0, judgements),
        at_equal_length=length_controlled(outcomes, lengths),
        lengths_a=_lengths([(one.contest.a.text, one.contest.a.n_tokens) for one in judgements]),
        lengths_b=_lengths([(one.contest.b.text, one.contest.b.n_tokens) for one in judgements]),
        unanswered=unanswered,
        difference=difference,
        needed=questions_needed(difference),
        seen=difference_seen(len(outcomes)),
    )


def _by_question(judgements: Sequence[Judgement], values: dict[Judgement, float]) -> list[float]:
    """The mean of each question's values: its samples are one observation."""
    of_question: dict[tuple[str, str], list[float]] = {}
    for judgement in judgements:
        of_question.setdefault(judgement.contest.question, []).append(values[judgement])
    return [fmean(found) for found in of_question.values()]


def _rate_if_unjudged_count_as(win: float, judgements: Sequence[Judgement]) -> float:
    values = {one: win if one.outcome is None else _WINS[one.outcome] for one in judgements}
    return fmean(_by_question(judgements, values))


def _first_preferred(judgements: Sequence[Judgement]) -> Rate:
    winners = [verdict.winner for one in judgements for verdict in (one.forward, one.backward)]
    return wilson([float(winner == "first") for winner in winners if winner in ("first", "second")])


def _length_difference(judgement: Judgement) -> int:
    return len(judgement.contest.a.text) - len(judgement.contest.b.text)


def _lengths(answers: Sequence[tuple[str, int | None]]) -> Lengths:
    tokens = [number for _, number in answers if number is not None]
    return Lengths(
        characters=fmean(len(text) for text, _ in answers),
        words=fmean(len(text.split()) for text, _ in answers),
        tokens=fmean(tokens) if len(tokens) == len(answers) else None,
    )
