"""Rank correlations, by hand and against scipy; half-widths of t intervals against the printed table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from ldyn.numerics.statistics import kendall_tau, rank_correlation, standard_ranks, t_half_width


def test_rows_are_scipys_with_ties_too() -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, 6, (5, 30)).astype(float), random.normal(size=(5, 30))
    expected = [spearmanr(one, other).statistic for one, other in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected, atol=1e-12)
    assert np.isnan(rank_correlation(np.ones((1, 4)), np.arange(4.0)[None]))


def test_ranks_by_hand() -> None:
    """Of the three pairs of 1, 3, 2 two stand as in 1, 2, 3: τ = 2/3 − 1/3. Ranks of 5, 9, 5: −1, 2, −1 over √2."""
    assert kendall_tau(np.array([1.0, 2, 3]), np.array([1.0, 3, 2])) == pytest.approx(1 / 3)
    assert standard_ranks(np.array([5.0, 9, 5])) == pytest.approx(np.array([-1, 2, -1]) / 2**0.5)
    assert standard_ranks(np.ones(4)) == pytest.approx(np.zeros(4))
    assert np.isnan(kendall_tau(np.ones(1), np.ones(1)))


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (30, 2.0423), (499, 1.9647)])
def test_half_widths_use_the_quantiles_of_the_tables(freedom: int, quantile: float) -> None:
    n = freedom + 1
    assert t_half_width(3.0, n) == pytest.approx(3.0 * quantile / n**0.5, rel=2e-5)
    assert np.isnan(t_half_width([1.0, 1.0, 1.0], [0, 1, 2])).tolist() == [True, True, False]
