"""Intervals over seeds: what other seeds would give, from the numbers that some seeds gave.

The unit is the seed. Let θ̂_r be what run r measured: θ̂_r = μ + a_r + e_r, with a_r what its seed makes of it (another
world, base, order of the data: variance τ²) and e_r the sampling of its n probe examples (variance σ²/n). This is the
random-effects model x_ri = μ + a_r + e_ri in means; where all runs have equally many examples its estimate of μ is the
mean of the θ̂_r, their sample variance divided by S estimates the variance of that mean, τ²/S + σ²/(nS), without τ² or
σ² having to be told apart, and the interval is exactly Student's with S − 1 degrees of freedom:

    mean ± t(97.5 %; S − 1) · s / √S.

With unequally many examples, or seeds that are unequally noisy, the variances differ; the interval then errs on the
safe side (for normal θ̂_r of any variances, at levels up to 8 %: N. Bakirov and G. Székely, 2005, as used by
R. Ibragimov and U. Müller, J. Business & Economic Statistics 28 (2010) 453).

The highest of several means, M_r = max_j θ_rj, is measured twice in each run (see intervals.py): cross-fitted, which
is too low in expectation wherever the choice of j is uncertain, and as the largest measured mean, which is too high.
Within one run the bias is lost in the error; over seeds the error shrinks and the bias stays. So the lower end is made
of the former and the upper of the latter: each errs on the safe side.
"""

from __future__ import annotations

import numpy as np

from ldyn.findings.intervals import Array, Interval
from ldyn.numerics.statistics import student_t_quantile, student_t_tail

MIN_SEEDS = 3  # below, a t interval exists but says next to nothing: with two seeds it is 12.7 standard errors wide


def interval_over_seeds(values: Array, bound: float = 0.0) -> Interval:
    """The mean of ``values``, one for each seed, with its 95 % Student-t interval, held against ``bound``."""
    mean, n = float(values.mean()) if len(values) else np.nan, len(values)
    if n < MIN_SEEDS or not np.isfinite(values).all():
        missing = f"{MIN_SEEDS} seeds with finite numbers are needed and {int(np.isfinite(values).sum())} are there"
        return Interval(mean, np.nan, np.nan, n, missing)
    error = float(values.std(ddof=1)) / n**0.5
    half = student_t_quantile(n - 1) * error
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
    """P(T ≥ difference / error); values that are all alike leave no doubt of where they lie."""
    if error == 0:
        return float(difference <= 0)
    return student_t_tail(freedom, difference / error)
