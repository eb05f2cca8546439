"""Half-widths of t intervals against the printed table."""

from __future__ import annotations

import numpy as np
import pytest

from ldyn.numerics.statistics import t_half_width


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (5, 2.5706), (10, 2.2281), (30, 2.0423), (499, 1.9647)]
)
def test_half_widths_use_the_quantiles_of_the_tables(freedom: int, quantile: float) -> None:
    n = freedom + 1
    assert t_half_width(3.0, n) == pytest.approx(3.0 * quantile / n**0.5, rel=2e-5)


def test_a_single_value_has_no_interval() -> None:
    assert np.isnan(t_half_width([1.0, 1.0, 1.0], [0, 1, 2])).tolist() == [True, True, False]
