"""Parts over seeds, and the lowest of several means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ldyn.findings.intervals import interval_over_seeds
from ldyn.findings.parts import highest_part, lowest_part, seeds_part
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE


def test_the_interval_of_a_mean_over_seeds_by_hand() -> None:
    """1, 2, 3: mean 2, s = 1, s/√3 = 0.57735, t(0.975; 2) = 4.30265: 2 ± 2.48414."""
    interval = interval_over_seeds(np.array([1.0, 2.0, 3.0]))
    assert (interval.estimate, interval.n) == (2.0, 3)
    assert (interval.low, interval.high) == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=2e-4)


def test_it_is_scipys() -> None:
    values = np.random.default_rng(0).normal(size=5)
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    interval = interval_over_seeds(values)
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-3)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.1], [1.0, 1.1, np.nan]])
def test_too_few_seeds_give_no_interval(values: list[float]) -> None:
    part = seeds_part("a number", "above", pd.Series(values, dtype=float), "nats")
    assert part.verdict == INCONCLUSIVE
    assert "seeds with finite numbers, at least 3 are needed" in str(part)


def test_the_side_decides() -> None:
    values = pd.Series([1.0, 1.1, 0.9])
    assert seeds_part("a number", "above", values, "nats").verdict == HOLDS
    assert seeds_part("a number", "below", values, "nats").verdict == FAILS
    assert seeds_part("a number", "above", values - 1, "nats").verdict == INCONCLUSIVE


def test_the_lowest_mean_mirrors_the_highest() -> None:
    columns = pd.DataFrame(np.random.default_rng(1).normal([1.0, 2.0, 3.0], 0.1, (30, 3)), columns=["a", "b", "c"])
    lowest, mirrored = lowest_part("q", "above", columns), highest_part("q", "below", -columns)
    assert lowest.verdict == mirrored.verdict == HOLDS
    assert lowest.interval.estimate == -mirrored.interval.estimate
    assert (lowest.interval.low, lowest.interval.high) == (-mirrored.interval.high, -mirrored.interval.low)
    assert lowest.where.startswith("a, mean +")
