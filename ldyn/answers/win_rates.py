"""Win rates with intervals and at equal lengths. A tie is half a win.

The observation is the question: where several samples of one question are judged, their mean is one value in [0, 1].

Wilson interval of a rate p over n (E. B. Wilson, 1927), z the normal quantile:

    (p + z²/2n ± z √(p (1 − p)/n + z²/4n²)) / (1 + z²/n)

With ties, or means over samples, the variance is at most p (1 − p): the interval is then too wide, never too narrow.

At equal lengths: logistic regression of the outcome y on the difference of lengths, as in length-controlled AlpacaEval
(Dubois et al., 2024), with the standard deviation of the differences as the unit:

    logit P(a wins) = α + β x,      x = (length of a − length of b) / sd,      estimate = σ(α), the rate at x = 0.

The estimate is the mode under wide normal priors, α ~ N(0, 10²) and β ~ N(0, 2.5²) (the scale of Gelman et al., 2008):
without them, answers that always win, or win exactly when they are longer, have no finite estimate. The interval is
α ± 1.96 s with s from the curvature at the mode, mapped through σ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from ldyn.answers.comparison import GivenAnswer, Judgement

Z95 = NormalDist().inv_cdf(0.975)
PRIOR_SD = np.array([10.0, 2.5])
OUTCOMES = {"a": 1.0, "tie": 0.5, "b": 0.0}

Array = NDArray[np.float64]


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


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """The win rate at equal lengths, and β: the change of the log-odds for one standard deviation of length."""

    rate: Rate
    slope: float
    unit: float


def length_controlled(outcomes: ArrayLike, differences: ArrayLike) -> LengthControlled:
    """outcomes in [0, 1] and length differences (a − b), one of each for a question."""
    y, x = np.asarray(outcomes, float), np.asarray(differences, float)
    if len(y) == 0:
        return LengthControlled(Rate(math.nan, math.nan, math.nan, 0), math.nan, math.nan)
    unit = float(x.std()) or 1.0
    design = np.column_stack([np.ones_like(x), x / unit])
    coefficients, covariance = _fit(design, y)
    alpha, s = float(coefficients[0]), math.sqrt(covariance[0, 0])
    value, low, high = (float(expit(alpha + z * s)) for z in (0, -Z95, Z95))
    rate = Rate(value, low, high, len(y))
    return LengthControlled(rate, float(coefficients[1]), unit)


def _fit(design: Array, y: Array) -> tuple[Array, Array]:
    """The mode [2] and its covariance [2, 2]."""

    def loss(c: Array) -> float:
        z = design @ c
        return float(np.logaddexp(0, z).sum() - y @ z + 0.5 * (c**2 / PRIOR_SD**2).sum())

    def gradient(c: Array) -> Array:
        return np.asarray(design.T @ (expit(design @ c) - y) + c / PRIOR_SD**2)

    def curvature(c: Array) -> Array:
        p = expit(design @ c)
        return np.asarray((design * (p * (1 - p))[:, None]).T @ design + np.diag(1 / PRIOR_SD**2))

    mode = minimize(loss, np.zeros(2), jac=gradient, hess=curvature, method="trust-exact", options={"gtol": 1e-9}).x
    return np.asarray(mode), np.asarray(np.linalg.inv(curvature(mode)), np.float64)


@dataclass(frozen=True)
class WinRates:
    """The win rate of a over b. A tie is half a win; the observation is the question.

    n_comparisons: pairs of answers; wins, losses, ties of a among those judged; unjudged: those with a verdict that
    could not be read. orders_disagree: ties because the two orders gave different verdicts. first_preferred: the share
    of decided verdicts that prefer the answer shown first (1/2 for a judge that ignores the order).
    win_rate: over questions with a judgement. at_worst, at_best: the rate if b, or a, had won everything unjudged.
    at_equal_length: see the top of this file. lengths_*: means in characters, words and, where known, tokens of all
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
    at_equal_length: LengthControlled
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
            "longer": [float(len(one.a.text) - len(one.b.text)) for one in compared],
        }
    )
    judged = _by_question(table.dropna())
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
        win_rate=wilson(list(judged["won"])),
        at_worst=float(_by_question(table.fillna(0.0))["won"].mean()),
        at_best=float(_by_question(table.fillna(1.0))["won"].mean()),
        at_equal_length=length_controlled(judged["won"], judged["longer"]),
        lengths_a=_lengths([one.a for one in compared]),
        lengths_b=_lengths([one.b for one in compared]),
        unanswered=unanswered,
    )


def _by_question(table: pd.DataFrame) -> pd.DataFrame:
    """The mean of each question's values: its samples are one observation."""
    return table.groupby("question", sort=False)[["won", "longer"]].mean()


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
            "won": np.nan if judgement.outcome is None else OUTCOMES[judgement.outcome],
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
    return {f"{name}_{side}": np.nan if value is None else float(value) for name, value in known.items()}
