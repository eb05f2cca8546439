"""Student's t distribution: quantiles for 95 % intervals of a mean, and tail probabilities. Needs no torch."""

from __future__ import annotations

from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95


def student_t_quantile(freedom: int) -> float:
    """q with P(|T| ≤ q) = CONFIDENCE for Student's t with ``freedom`` ≥ 1 degrees of freedom."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def student_t_tail(freedom: int, t: float) -> float:
    """P(T ≥ t) for Student's t with ``freedom`` ≥ 1 degrees of freedom; ``t`` may be infinite."""
    return float(stdtr(freedom, -t))
