"""Student's t for the mean of independent units, and the verdict it gives on a part of a claim.

A unit is a probe example within one run, and a seed over several runs. For values v_1 … v_n with mean m and standard
deviation s, m ± t(1 − α; n − 1) · s / √n covers the true mean; α is one-sided. Over seeds, v_r = μ + a_r + e_r, with
a_r the effect of the seed and e_r that of its probe examples: s² / n estimates the variance of m with both in it. Where
units are unequally noisy the interval errs on the safe side (R. Ibragimov and U. Müller, J. Business & Economic
Statistics 28 (2010) 453).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import nctdtr, stdtr, stdtrit

from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, NO_EFFECT

Side = Literal["above", "below"]

MIN_SEEDS = 3  # with two seeds a 95 % interval is 12.7 standard errors wide
POWER = 0.8
MOST_SEEDS = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean, standard deviation and number of units; the deviation is NaN below two units or if a value is infinite."""

    mean: float
    spread: float
    n: int

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.spread / self.n**0.5 if self.n else np.nan

    def interval(self, alpha: float = 0.025) -> tuple[float, float]:
        """The interval that excludes ``alpha`` on each side; NaN without a deviation."""
        half = float(stdtrit(max(self.n - 1, 1), 1 - alpha)) * self.error
        return self.mean - half, self.mean + half

    def p_beyond(self, bound: float, side: Side) -> float:
        """One-sided p-value of the true mean lying on ``side`` of ``bound``; NaN without a deviation."""
        distance = self.mean - bound if side == "above" else bound - self.mean
        if not self.error:
            return float(distance <= 0)
        return float(stdtr(max(self.n - 1, 1), -distance / self.error))


def estimate(values: ArrayLike) -> Estimate:
    """Of the values that are not NaN."""
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    mean = float(known.mean()) if len(known) else np.nan
    spread = float(known.std(ddof=1)) if len(known) > 1 and np.isfinite(known).all() else np.nan
    return Estimate(mean, spread, len(known))


def verdict_on(found: Estimate, claimed: Side, bound: float, smallest: float, alpha: float) -> str:
    """Of a mean claimed to lie on one side of ``bound``, with errors of at most ``alpha`` on each side.

    NO_EFFECT: the interval lies within ± ``smallest`` of the bound. HOLDS: it lies on the claimed side. FAILS: it lies
    on the other side, beyond ``smallest``. Else INCONCLUSIVE.
    """
    sign = 1 if claimed == "above" else -1
    low, high = sorted(sign * (end - bound) for end in found.interval(alpha))
    if -smallest < low and high < smallest:
        return NO_EFFECT
    if low > 0:
        return HOLDS
    return FAILS if high < -smallest else INCONCLUSIVE


def seeds_needed(found: Estimate, claimed: Side, bound: float, alpha: float) -> float:
    """Seeds with which the mean found, at the spread found, lies on the claimed side in POWER of all experiments.

    NaN where the mean lies on the other side or more than MOST_SEEDS would be needed.
    """
    effect = found.mean - bound if claimed == "above" else bound - found.mean
    if not effect > 0 or np.isnan(found.spread):
        return np.nan
    n = np.arange(MIN_SEEDS, MOST_SEEDS + 1)
    if found.spread == 0:
        return float(MIN_SEEDS)
    power = 1 - nctdtr(n - 1, effect / found.spread * np.sqrt(n), stdtrit(n - 1, 1 - alpha))
    enough = n[~(power < POWER)]  # far in the tail nctdtr is NaN, where the power is 1
    return float(enough[0]) if len(enough) else np.nan
