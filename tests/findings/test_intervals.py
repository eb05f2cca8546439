"""Student's t, the four verdicts, and the number of seeds needed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from ldyn.findings.intervals import Estimate, estimate, seeds_needed, verdict_on
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, NO_EFFECT

VALUES = np.array([-4.0, -5.0, -6.5, -2.0])


def test_interval_and_p_are_those_of_scipy() -> None:
    test = ttest_1samp(VALUES, -1.0, alternative="less")
    low, high = ttest_1samp(VALUES, 0.0).confidence_interval(0.95)
    assert estimate(VALUES).interval() == pytest.approx((low, high))
    assert estimate(VALUES).p_beyond(-1.0, "below") == pytest.approx(test.pvalue)
    assert estimate(VALUES).p_beyond(-1.0, "above") == pytest.approx(1 - test.pvalue)


def test_what_is_missing_is_ignored_and_infinity_has_no_interval() -> None:
    assert estimate([*VALUES, np.nan]) == estimate(VALUES)
    assert np.isnan(estimate([1.0, np.inf]).interval()[0])
    assert np.isnan(estimate([1.0]).interval()[0])
    assert estimate([]).n == 0


@pytest.mark.parametrize(
    ("mean", "spread", "verdict"),
    [
        (3.0, 1.0, HOLDS),
        (0.8, 2.0, INCONCLUSIVE),
        (0.8, 0.1, NO_EFFECT),  # above zero, but smaller than the smallest effect of interest
        (-0.8, 0.1, NO_EFFECT),
        (-1.2, 1.0, INCONCLUSIVE),  # contrary, and perhaps by less than 1
        (-3.0, 1.0, FAILS),
        (1.2, 0.4, HOLDS),
    ],
)
@pytest.mark.parametrize("claimed", ["above", "below"])
def test_the_verdict_by_mean_and_spread(mean: float, spread: float, verdict: str, claimed: str) -> None:
    """Eight seeds, level 2.5 %: the half-width is 0.836 standard deviations; smallest effect of interest 1."""
    sign = 1 if claimed == "above" else -1
    found = Estimate(5 + sign * mean, spread, 8)
    assert verdict_on(found, claimed, 5.0, 1.0, 0.025) == verdict  # type: ignore[arg-type]


def test_without_an_interval_it_is_inconclusive() -> None:
    assert verdict_on(estimate([9.0]), "above", 0.0, 1.0, 0.05) == INCONCLUSIVE


def test_seeds_needed_reach_the_power_and_one_fewer_does_not() -> None:
    """An effect as large as the spread, level 1 %: simulated on both sides of the number."""
    n = int(seeds_needed(Estimate(1.0, 1.0, 3), "above", 0.0, 0.01))
    random = np.random.default_rng(0)

    def power(seeds: int) -> float:
        values = random.normal(1.0, 1.0, size=(4000, seeds))
        return float(np.mean(ttest_1samp(values, 0.0, axis=1, alternative="greater").pvalue <= 0.01))

    assert power(n) > 0.78
    assert power(n - 1) < 0.82
    assert seeds_needed(Estimate(1.0, 0.01, 3), "above", 0.0, 0.01) == 3
    assert np.isnan(seeds_needed(Estimate(-1.0, 1.0, 3), "above", 0.0, 0.01))
    assert np.isnan(seeds_needed(Estimate(1e-4, 1.0, 3), "above", 0.0, 0.01))
