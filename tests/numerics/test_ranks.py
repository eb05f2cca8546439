"""Rank correlation, by hand and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from ldyn.numerics.statistics import rank_correlation


def test_four_values_by_hand() -> None:
    """Ranks 1 2 3 4 against 2 1 4 3: Σd² = 4, ρ = 1 − 6·4 / (4·15) = 0.6."""
    assert rank_correlation(np.array([[1.0, 5, 7, 9]]), np.array([[0.2, 0.1, 40, 3]])) == pytest.approx([0.6])


def test_rows_are_scipys_with_ties_too() -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, 6, (5, 30)).astype(float), random.normal(size=(5, 30))
    expected = [spearmanr(one, other).statistic for one, other in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected, atol=1e-12)


def test_a_row_of_equal_values_has_none() -> None:
    assert np.isnan(rank_correlation(np.ones((1, 4)), np.arange(4.0)[None]))
