"""Win rates with intervals, and how many questions a difference needs. Ties count as half a win for each.

The observation is the question: where several samples of one question are judged, their mean is one value in [0, 1].

Wilson interval of a rate p over n (E. B. Wilson, 1927), z the normal quantile:

    (p + z²/2n ± z √(p (1 − p)/n + z²/4n²)) / (1 + z²/n)

It is exact in spirit for wins and losses; with ties, or means over samples, the variance is at most p (1 − p), so that
the interval is then too wide rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)
POWER = 0.8


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
