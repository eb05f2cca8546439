"""Win rates with intervals, at equal lengths too, and how many questions a difference needs. A tie is half a win.

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
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from ldyn.answers.comparison import Judgement

Z95 = NormalDist().inv_cdf(0.975)
POWER = 0.8
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
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


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


def questions_needed(difference: float) -> int:
    """Questions on which a win rate of 1/2 + difference is told from 1/2, two-sided at 5 %, with a power of 80 %.

    n = ((z₀.₉₇₅ · ½ + z₀.₈ √(p (1 − p))) / difference)², p = 1/2 + difference, without ties.
    """
    p, z_power = 0.5 + difference, NormalDist().inv_cdf(POWER)
    return math.ceil(((Z95 * 0.5 + z_power * math.sqrt(p * (1 - p))) / difference) ** 2)


def difference_seen(n: int) -> float:
    """The smallest difference from 1/2 for which ``n`` questions suffice (`questions_needed`); 1/2 where none does."""
    low, high = 0.0, 0.5
    for _ in range(50):  # halving: the needed number falls as the difference grows
        middle = (low + high) / 2
        low, high = (low, middle) if questions_needed(middle) <= n else (middle, high)
    return high


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """The win rate at equal lengths, and β: the change of the log-odds for one standard deviation of length."""

    rate: Rate
    slope: float
    unit: float


def length_controlled(outcomes: Sequence[float], differences: Sequence[float]) -> LengthControlled:
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


@dataclass(frozen=True, slots=True)
class Lengths:
    """Mean length of the answers of one side, unjudged ones included; tokens where they are known."""

    characters: float
    words: float
    tokens: float | None


@dataclass(frozen=True)
class WinRates:
    """The win rate of a over b. A tie is half a win; the observation is the question.

    n_comparisons: pairs of answers; wins, losses, ties of a among those judged; unjudged: those with a verdict that
    could not be read. orders_disagree: ties because the two orders gave different verdicts. first_preferred: the share
    of decided verdicts that prefer the answer shown first (1/2 for a judge that ignores the order).
    win_rate: over questions with a judgement. at_worst, at_best: the rate if b, or a, had won everything unjudged.
    at_equal_length: see the top of this file. unanswered: answers of one side to questions that the other lacks.
    difference: from 1/2, as the user set it; needed: questions that it takes; seen: the smallest difference that this
    number of questions can show.
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
) -> WinRates:
    """The win rate of names[0] over names[1]."""
    counts = Counter(judgement.outcome for judgement in judgements)
    judged = [judgement for judgement in judgements if judgement.outcome is not None]
    outcomes = _by_question(judged, {judgement: OUTCOMES[str(judgement.outcome)] for judgement in judged})
    lengths = _by_question(judged, {one: float(_length_difference(one)) for one in judged})
    return WinRates(
        a=names[0],
        b=names[1],
        mode=judgements[0].comparison.mode,
        judge=judge,
        n_questions=len({judgement.comparison.question for judgement in judgements}),
        n_comparisons=len(judgements),
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
        lengths_a=_lengths([(one.comparison.a.text, one.comparison.a.n_tokens) for one in judgements]),
        lengths_b=_lengths([(one.comparison.b.text, one.comparison.b.n_tokens) for one in judgements]),
        unanswered=unanswered,
        difference=difference,
        needed=questions_needed(difference),
        seen=difference_seen(len(outcomes)),
    )


def _by_question(judgements: Sequence[Judgement], values: dict[Judgement, float]) -> list[float]:
    """The mean of each question's values: its samples are one observation."""
    of_question: dict[tuple[str, str], list[float]] = {}
    for judgement in judgements:
        of_question.setdefault(judgement.comparison.question, []).append(values[judgement])
    return [fmean(found) for found in of_question.values()]


def _rate_if_unjudged_count_as(win: float, judgements: Sequence[Judgement]) -> float:
    values = {one: win if one.outcome is None else OUTCOMES[one.outcome] for one in judgements}
    return fmean(_by_question(judgements, values))


def _first_preferred(judgements: Sequence[Judgement]) -> Rate:
    winners = [verdict.winner for one in judgements for verdict in (one.forward, one.backward)]
    return wilson([float(winner == "first") for winner in winners if winner in ("first", "second")])


def _length_difference(judgement: Judgement) -> int:
    return len(judgement.comparison.a.text) - len(judgement.comparison.b.text)


def _lengths(answers: Sequence[tuple[str, int | None]]) -> Lengths:
    tokens = [number for _, number in answers if number is not None]
    return Lengths(
        characters=fmean(len(text) for text, _ in answers),
        words=fmean(len(text.split()) for text, _ in answers),
        tokens=fmean(tokens) if len(tokens) == len(answers) else None,
    )
