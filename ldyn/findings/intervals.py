"""Confidence intervals over probe examples and over seeds: for a mean, and for the highest of several means.

Intervals over probe examples are 95 % bootstrap-t intervals: examples are drawn again with replacement, and each
resample's mean is divided by its own standard error. With θ̂ and s the mean and standard error of the data, and θ*, s*
those of a resample,

    root t* = (θ* − θ̂) / s*,      interval = [θ̂ − q(97.5 %) s, θ̂ − q(2.5 %) s],   q the quantiles of t*.

It keeps its level for skewed values and few examples, where percentile intervals are too short (B. Efron and
R. Tibshirani, An Introduction to the Bootstrap, 1993, ch. 12; P. Hall, Annals of Statistics 16 (1988) 927). What it
covers is the choice of probe examples, for this one trained model; another training seed is another matter.

The highest of several means, M = max_j θ_j (the peak of a curve, the deepest fall on the way), needs more care: the
largest of the measured means is biased upward, as noise helps to choose it. Here

- the estimate is cross-fitted: j is chosen on one half of the examples, its mean measured on the other, and the other
  way round, averaged over many random halvings. It is too low where the choice is uncertain; where it falls to the
  edge of the interval, the middle between it and the largest measured mean (too high) is the estimate;
- the lower end is max_j (θ̂_j − c s_j), c the 97.5 % quantile of max_j t*_j: a simultaneous band, so that it makes no
  difference how many means there were to choose from;
- the upper end is max_j (upper end of j's own interval): M is the mean of some fixed j, and that one's upper end is at
  least M in 97.5 % of cases.

(A cross-fitted interval would be too short: both halves' values depend on each other when all means are alike.)

An example may lack some of the values (NaN); each mean is then over the examples that have it.

Beside the ends stand the one-sided p-values that belong to them: the level at which an end would just reach a bound b,

    above: P(max_j t*_j ≥ max_j (θ̂_j − b) / s_j),      below: max_j P(t*_j ≤ (θ̂_j − b) / s_j),

the resamples' shares, with one resample more on the side of doubt, so that none is smaller than 1 / (RESAMPLES + 1).

Intervals over seeds are Student's. Let θ̂_r = μ + a_r + e_r be what run r measured: a_r is the effect of its seed
(variance τ²), e_r the sampling of its n probe examples (variance σ²/n). The sample variance of the S values θ̂_r,
divided by S, estimates τ²/S + σ²/(nS), the variance of their mean, so that

    mean ± t(97.5 %; S − 1) · s / √S.

Where seeds are unequally noisy the interval errs on the safe side (for normal θ̂_r, at levels up to 8 %: N. Bakirov and
G. Székely, 2005, as used by R. Ibragimov and U. Müller, J. Business & Economic Statistics 28 (2010) 453). The highest
of several means is measured twice in each run: cross-fitted (too low in expectation where the choice of j is uncertain)
and as the largest measured mean (too high). Over seeds the error shrinks and the bias stays, so the lower end is made
of the former and the upper end of the latter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from ldyn.numerics.statistics import t_half_width

Array = NDArray[np.float64]

MIN_EXAMPLES = 8  # below, the true coverage of every bootstrap falls well under its nominal 95 %
MIN_SEEDS = 3  # with two seeds a t interval is 12.7 standard errors wide
RESAMPLES = 2000
HALVINGS = 50
_TAIL = 0.025
_SEED = 0
_SMALLEST_ERROR = 0.1  # of s: keeps t* finite for resamples in which (nearly) all values are equal
_COLUMNS_AT_ONCE = 512  # bounds the memory: resamples × columns × 8 bytes = 8 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval from ``n`` examples; ``missing`` says why there is none (the ends are NaN).

    p_above, p_below: one-sided p-values of the estimated quantity lying above, or below, the bound.
    cross_fitted: of a highest mean, before the estimate is moved off the edge of the interval; NaN for other means.
    """

    estimate: float
    low: float
    high: float
    n: int
    missing: str = ""
    p_above: float = np.nan
    p_below: float = np.nan
    cross_fitted: float = np.nan

    def __str__(self) -> str:
        if self.missing:
            return f"no interval: {self.missing}"
        return f"{self.estimate:+.3g} [{self.low:+.3g}, {self.high:+.3g}]"


def interval_of_highest(columns: Array, bound: float = 0.0) -> tuple[Interval, int]:
    """M = max_j of the means of ``columns`` (n examples × J, NaN where an example lacks a value), against ``bound``.

    Returns its interval, with ``n`` the number of examples behind the highest measured mean, and that mean's j.
    Each column needs at least one value.
    """
    present = ~np.isnan(columns)
    counts = present.sum(axis=0)
    if counts.size == 0 or counts.min() == 0:
        return Interval(np.nan, np.nan, np.nan, 0, "no probe example has all the values that are compared"), 0
    values = np.where(present, columns, 0.0)
    means = values.sum(axis=0) / counts
    highest, fewest = int(means.argmax()), int(counts.min())
    n = int(counts[highest])
    if np.isinf(values).any():
        return Interval(float(means[highest]), np.nan, np.nan, n, "a value is infinite"), highest
    if fewest < MIN_EXAMPLES:
        missing = f"only {fewest} probe example{'s' * (fewest > 1)}, at least {MIN_EXAMPLES} are needed"
        return Interval(float(means[highest]), np.nan, np.nan, n, missing), highest
    fitted = _cross_fitted_highest(values, present, means)
    low, high, p_above, p_below = _ends(values, present, means, bound)
    estimate = fitted if low < fitted < high else (fitted + float(means[highest])) / 2
    return Interval(estimate, min(low, fitted), max(high, fitted), n, "", p_above, p_below, fitted), highest


def _ends(values: Array, present: NDArray[np.bool_], means: Array, bound: float) -> tuple[float, float, float, float]:
    """Lower and upper end for the highest mean, and the p-values of above and below, see the top of the file."""
    highest_root = np.full(RESAMPLES, -np.inf)
    errors, upper_ends, found, p_below = (np.empty_like(means) for _ in range(4))
    for start in range(0, len(means), _COLUMNS_AT_ONCE):
        part = slice(start, start + _COLUMNS_AT_ONCE)
        centred = np.where(present[:, part], values[:, part] - means[part], 0.0)
        roots, errors[part] = _roots(centred, present[:, part].astype(np.float64))
        found[part] = _studentised(means[part] - bound, errors[part])
        highest_root = np.maximum(highest_root, roots.max(axis=1))
        upper_ends[part] = means[part] - np.quantile(roots, _TAIL, axis=0) * errors[part]
        p_below[part] = _p_value(roots <= found[part])
    low = float((means - np.quantile(highest_root, 1 - _TAIL) * errors).max())
    p_above = float(_p_value(highest_root >= found.max()))
    return low, float(upper_ends.max()), p_above, float(p_below.max())


def _p_value(as_extreme: NDArray[np.bool_]) -> Array:
    """The share of resamples (first axis) that are as extreme as what was found, on the side of doubt."""
    p_value: Array = (1 + as_extreme.sum(axis=0)) / (1 + len(as_extreme))
    return p_value


def _studentised(differences: Array, errors: Array) -> Array:
    """Differences in standard errors; ±∞ where the error is 0, and 0 where both are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Array = np.where((differences == 0) & (errors == 0), 0.0, differences / errors)
    return ratios


def _roots(centred: Array, present: Array) -> tuple[Array, Array]:
    """t* of each resample and column (RESAMPLES × J; 0 where a column is constant), and the standard errors s (J,).

    centred, present: n × J; centred is 0 where present is 0.
    """
    weights = _resample_weights(len(centred))  # (RESAMPLES, n)
    whole = bool(present.all())
    counts = np.full((1, 1), float(len(centred))) if whole else np.maximum(weights @ present, 1.0)
    means = weights @ centred / counts
    variances = np.maximum(weights @ centred**2 / counts - means**2, 0.0)
    n = present.sum(axis=0)
    errors = np.sqrt((centred**2).sum(axis=0) / (n * (n - 1)))
    own_errors = np.maximum(np.sqrt(variances / np.maximum(counts - 1, 1.0)), _SMALLEST_ERROR * errors)
    return np.divide(means, own_errors, out=np.zeros_like(means), where=own_errors > 0), errors


@lru_cache(maxsize=8)
def _resample_weights(n: int) -> Array:
    """How often each of n examples is in each resample (RESAMPLES × n); the same in every call."""
    counts = np.random.default_rng(_SEED).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    weights: Array = counts.astype(np.float64)
    return weights


def _cross_fitted_highest(values: Array, present: NDArray[np.bool_], means: Array) -> float:
    if len(means) == 1:
        return float(means[0])
    half = _halves(len(values))  # (2 * HALVINGS, n)
    counts = half @ present
    half_means = np.divide(half @ values, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    chosen = np.where(np.isnan(half_means), -np.inf, half_means).argmax(axis=1)
    measured = np.roll(half_means, HALVINGS, axis=0)[np.arange(len(chosen)), chosen]  # on the other half
    return float(np.nanmean(measured))


@lru_cache(maxsize=8)
def _halves(n: int) -> Array:
    """Random halvings of n examples as rows of zeros and ones; row HALVINGS + i is the complement of row i."""
    order = np.random.default_rng(_SEED).permuted(np.tile(np.arange(n), (HALVINGS, 1)), axis=1)
    first = (order < n // 2).astype(np.float64)
    return np.concatenate([first, 1.0 - first])


def interval_over_seeds(values: Array, bound: float = 0.0) -> Interval:
    """The mean of ``values``, one for each seed, with its 95 % Student-t interval, compared with ``bound``."""
    mean, n = float(values.mean()) if len(values) else np.nan, len(values)
    if n < MIN_SEEDS or not np.isfinite(values).all():
        missing = f"{int(np.isfinite(values).sum())} seeds with finite numbers, at least {MIN_SEEDS} are needed"
        return Interval(mean, np.nan, np.nan, n, missing)
    error = float(values.std(ddof=1)) / n**0.5
    half = float(t_half_width(error * n**0.5, n))
    above, below = (_tail(n - 1, difference, error) for difference in (mean - bound, bound - mean))
    return Interval(mean, mean - half, mean + half, n, "", above, below)


def interval_of_chosen_over_seeds(fitted: Array, measured: Array, bound: float = 0.0) -> Interval:
    """Of a highest (or lowest) mean that each seed has cross-fitted (``fitted``) and as ``measured``.

    The estimate is the mean of the cross-fitted ones. For a plain mean both are the same, and it is the interval above.
    """
    low, high = (interval_over_seeds(one_of(fitted, measured), bound) for one_of in (np.minimum, np.maximum))
    estimate = float(fitted.mean()) if len(fitted) else np.nan
    return Interval(estimate, low.low, high.high, low.n, low.missing, low.p_above, high.p_below)


def _tail(freedom: int, difference: float, error: float) -> float:
    """P(T ≥ difference / error); 0 or 1 where all values are equal."""
    return float(difference <= 0) if error == 0 else float(stdtr(freedom, -difference / error))
