"""The win rate at equal lengths: what is left when the judge's, or the answers', taste for length is taken out.

Logistic regression of the outcome y (1 where a wins, 1/2 for a tie) on the difference of lengths, as in
length-controlled AlpacaEval (Dubois et al., 2024), with the standard deviation of the differences as the unit:

    logit P(a wins) = α + β x,      x = (length of a − length of b) / sd,      estimate = σ(α), the rate at x = 0.

Estimated by the mode under wide normal priors, α ~ N(0, 10²) and β ~ N(0, 2.5²) (Gelman et al., 2008, chose 2.5 as the
scale of a weak prior): without them, answers that always win, or win exactly when they are longer, have no finite
estimate. The interval is α ± 1.96 s with s from the curvature at the mode, mapped through σ; it takes y for a coin, so
with ties it is too wide rather than too narrow. Where lengths never differ the estimate is nearly the plain win rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ldyn.answers.pairwise.statistics import Z95, Rate

PRIOR_SD = np.array([10.0, 2.5])
_STEPS = 100
_CLOSE = 1e-10

Array = NDArray[np.float64]


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
    rate = Rate(_sigmoid(alpha), _sigmoid(alpha - Z95 * s), _sigmoid(alpha + Z95 * s), len(y))
    return LengthControlled(rate, float(coefficients[1]), unit)


def _fit(design: Array, y: Array) -> tuple[Array, Array]:
    """Newton's method on a concave function, with halved steps where a full one would not climb: [2] and [2, 2]."""
    coefficients = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(design @ coefficients)))
        gradient = design.T @ (y - p) - coefficients / PRIOR_SD**2
        curvature = _curvature(design, p)
        step = np.linalg.solve(curvature, gradient)
        here = _objective(design, y, coefficients)
        while _objective(design, y, coefficients + step) < here and abs(step).max() > _CLOSE:
            step = step / 2
        coefficients = coefficients + step
        if abs(step).max() < _CLOSE:
            break
    p = 1 / (1 + np.exp(-(design @ coefficients)))
    covariance: Array = np.asarray(np.linalg.inv(_curvature(design, p)), np.float64)
    return coefficients, covariance


def _curvature(design: Array, p: Array) -> Array:
    return (design * (p * (1 - p))[:, None]).T @ design + np.diag(1 / PRIOR_SD**2)


def _objective(design: Array, y: Array, coefficients: Array) -> float:
    z = design @ coefficients
    return float(y @ z - np.logaddexp(0, z).sum() - 0.5 * (coefficients**2 / PRIOR_SD**2).sum())


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0
