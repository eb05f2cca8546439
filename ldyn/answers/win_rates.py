"""Win rates with intervals. A tie is half a win.

The observation is the question: where several samples of one question are judged, their mean is one value in [0, 1].

Wilson interval of a rate p over n (E. B. Wilson, 1927), z the normal quantile:

    (p + z²/2n ± z √(p (1 − p)/n + z²/4n²)) / (1 + z²/n)

With ties, or means over samples, the variance is at most p (1 − p): the interval is then too wide, never too narrow.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any

import pandas as pd

from ldyn.answers.comparison import GivenAnswer, Judgement

Z95 = NormalDist().inv_cdf(0.975)
OUTCOMES = {"a": 1.0, "tie": 0.5, "b": 0.0}


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its 95 % interval over ``n`` observations; NaN where there are none."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return "–" if math.isnan(self.value) else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def wilson(values: Sequence[float]) -> Rate:
    """The mean of values in [0, 1] with its Wilson interval."""
    n = len(values)
    if n == 0:
        return Rate(math.nan, math.nan, math.nan, 0)
    p, z = math.fsum(values) / n, Z95
    middle = p + z**2 / (2 * n)
    half = z * math.sqrt(max(0.0, p * (1 - p)) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return Rate(p, max(0.0, low), min(1.0, high), n)


@dataclass(frozen=True)
class WinRates:
    """The win rate of a over b. A tie is half a win; the observation is the question.

    n_comparisons: pairs of answers; wins, losses, ties of a among those judged; unjudged: those with a verdict that
    could not be read. orders_disagree: ties because the two orders gave different verdicts. first_preferred: the share
    of decided verdicts that prefer the answer shown first (1/2 for a judge that ignores the order).
    win_rate: over questions with a judgement. at_worst, at_best: the rate if b, or a, had won everything unjudged.
    lengths_*: means in characters, words and, where known, tokens of all
    answers. unanswered: answers of one side to questions that the other lacks.
    """

    a: str
    b: str
    mode: str
    judge: str
    n_questions: int
    n_comparisons: int
    wins: int
    losses: int
    ties: int
    unjudged: int
    orders_disagree: int
    first_preferred: Rate
    win_rate: Rate
    at_worst: float
    at_best: float
    lengths_a: dict[str, float | None]
    lengths_b: dict[str, float | None]
    unanswered: dict[str, int]


def summarise(
    names: tuple[str, str], judge: str, judgements: Sequence[Judgement], unanswered: dict[str, int]
) -> WinRates:
    counts = Counter(judgement.outcome for judgement in judgements)
    compared = [judgement.comparison for judgement in judgements]
    table = pd.DataFrame(
        {
            "question": [(one.split, one.example_id) for one in compared],
            "won": [math.nan if one.outcome is None else OUTCOMES[one.outcome] for one in judgements],
        }
    )
    winners = [verdict.winner for one in judgements for verdict in (one.forward, one.backward)]
    return WinRates(
        a=names[0],
        b=names[1],
        mode=compared[0].mode,
        judge=judge,
        n_questions=table["question"].nunique(),
        n_comparisons=len(judgements),
        wins=counts["a"],
        losses=counts["b"],
        ties=counts["tie"],
        unjudged=counts[None],
        orders_disagree=sum(judgement.orders_disagree for judgement in judgements),
        first_preferred=wilson([float(winner == "first") for winner in winners if winner in ("first", "second")]),
        win_rate=wilson(list(_by_question(table.dropna()))),
        at_worst=float(_by_question(table.fillna(0.0)).mean()),
        at_best=float(_by_question(table.fillna(1.0)).mean()),
        lengths_a=_lengths([one.a for one in compared]),
        lengths_b=_lengths([one.b for one in compared]),
        unanswered=unanswered,
    )


def _by_question(table: pd.DataFrame) -> pd.Series:
    return table.groupby("question", sort=False)["won"].mean()


def _lengths(answers: Sequence[GivenAnswer]) -> dict[str, float | None]:
    tokens = [answer.n_tokens for answer in answers if answer.n_tokens is not None]
    return {
        "characters": fmean(len(answer.text) for answer in answers),
        "words": fmean(len(answer.text.split()) for answer in answers),
        "tokens": fmean(tokens) if len(tokens) == len(answers) else None,
    }


# --------------------------------------------------------------------------------------------------------------
# The rows of a run


@dataclass(frozen=True)
class Match:
    """Two arms after the same number of updates; in a comparison ``arm`` is a and ``baseline`` is b."""

    arm: str
    baseline: str
    step: int
    epoch: float


def win_rows(match: Match, judge: str, judgements: Sequence[Judgement]) -> list[dict[str, Any]]:
    """One judge's judgements on one match as rows of a run's table ``wins``, from the arm's side.

    judge, arm, baseline: as the settings name the judge and the preference stages whose answers are compared
    step, epoch: updates and passes over the pairs that both had made; 0: before preference training
    won: 1 the arm's answer, 0 the baseline's, 1/2 a tie; NaN where a verdict could not be read
    orders_disagree: whether it is a tie because the two orders gave different verdicts
    characters_*, tokens_*: length of the answer of the arm and of the baseline (EOS counts as a token)
    right_*, borrows_*, stopped_*: 1 or 0: it states the fact asked for, one of another question, it ends by itself

    NaN where something is not known.
    """
    return [
        {
            "judge": judge,
            "arm": match.arm,
            "baseline": match.baseline,
            "step": match.step,
            "epoch": match.epoch,
            "split": judgement.comparison.split,
            "example_id": judgement.comparison.example_id,
            "won": math.nan if judgement.outcome is None else OUTCOMES[judgement.outcome],
            "orders_disagree": judgement.orders_disagree,
            **_answer_columns(judgement.comparison.a, "arm"),
            **_answer_columns(judgement.comparison.b, "baseline"),
        }
        for judgement in judgements
    ]


def _answer_columns(answer: GivenAnswer, side: str) -> dict[str, float]:
    known = {
        "characters": len(answer.text),
        "tokens": answer.n_tokens,
        "right": answer.is_right,
        "borrows": answer.borrows,
        "stopped": answer.stopped,
    }
    return {f"{name}_{side}": math.nan if value is None else float(value) for name, value in known.items()}
