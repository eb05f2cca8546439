"""Student's t against the table that every textbook has."""

from __future__ import annotations

import math

import pytest

from ldyn.numerics.statistics import student_t_quantile, student_t_tail


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.7062), (2, 4.30265), (4, 2.77645), (79, 1.99045)])
def test_quantile_and_tail_belong_together(freedom: int, quantile: float) -> None:
    assert student_t_quantile(freedom) == pytest.approx(quantile, abs=6e-5)
    assert student_t_tail(freedom, quantile) == pytest.approx(0.025, rel=1e-4)
    assert student_t_tail(freedom, -quantile) == pytest.approx(0.975, rel=1e-4)


def test_two_degrees_of_freedom_by_hand() -> None:
    """P(T ≥ t) = ½ (1 − t / √(t² + 2)): for t = 2 it is ½ (1 − 2/√6) = 0.0917517."""
    assert student_t_tail(2, 2.0) == pytest.approx(0.0917517, abs=1e-7)


def test_far_out() -> None:
    assert (student_t_tail(3, math.inf), student_t_tail(3, -math.inf)) == (0.0, 1.0)
