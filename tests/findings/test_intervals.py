"""The interval against a slow oracle, its true coverage by simulation, and what a naive interval would have done."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ldyn.findings import intervals
from ldyn.findings.intervals import MIN_EXAMPLES, Interval, interval_of_highest


def interval_of_mean(values: np.ndarray) -> Interval:
    return interval_of_highest(values[:, None])[0]


def slow_bootstrap_t(values: np.ndarray) -> tuple[float, float]:
    """The definition, one resample at a time, with the resamples that the fast path draws."""
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    roots = []
    for times in np.random.default_rng(0).multinomial(len(values), np.full(len(values), 1 / len(values)), size=2000):
        resample = np.repeat(values, times)
        own_error = resample.std(ddof=0) / np.sqrt(len(values) - 1)
        roots.append((resample.mean() - mean) / max(own_error, 0.1 * error))
    low_root, high_root = np.quantile(roots, [0.025, 0.975])
    return mean - high_root * error, mean - low_root * error


def test_the_interval_is_the_bootstrap_t_interval_of_its_definition() -> None:
    values = np.random.default_rng(5).exponential(size=25) - 3.0
    interval = interval_of_mean(values)
    assert (interval.low, interval.high) == pytest.approx(slow_bootstrap_t(values), rel=1e-12)
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.n == 25


def test_p_values_are_the_shares_of_resamples_that_are_as_extreme() -> None:
    """Eight values 1, 1, 1, 1, 1, 1, 1, 9 against 0, by the slow definition."""
    values = np.array([1.0] * 7 + [9.0])
    error, found = values.std(ddof=1) / np.sqrt(8), 2.0 / (values.std(ddof=1) / np.sqrt(8))
    roots = []
    for times in np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), size=2000):
        resample = np.repeat(values, times)
        roots.append((resample.mean() - 2.0) / max(resample.std() / np.sqrt(7), 0.1 * error))
    interval, _ = interval_of_highest(values[:, None])
    assert interval.p_above == pytest.approx((1 + np.sum(np.array(roots) >= found - 1e-9)) / 2001, abs=1e-9)
    assert interval.p_below == pytest.approx((1 + np.sum(np.array(roots) <= found + 1e-9)) / 2001, abs=1e-9)


@pytest.mark.parametrize("columns", [1, 6])
def test_a_p_value_is_below_its_level_where_the_interval_excludes_the_bound(columns: int) -> None:
    values = np.random.default_rng(8).exponential(size=(40, columns))
    whole, _ = interval_of_highest(values)
    for step in (1e-2, -1e-2):  # just inside and just outside; the ends lie between two resamples
        above, below = (interval_of_highest(values, bound)[0] for bound in (whole.low + step, whole.high + step))
        assert (above.p_above < 0.025) == (step < 0)
        assert (below.p_below < 0.025) == (step > 0)


def test_values_that_are_all_alike_leave_no_doubt() -> None:
    interval, _ = interval_of_highest(np.full((20, 1), 3.0))
    assert (interval.p_above, interval.p_below) == (1 / 2001, 1.0)
    on_the_bound, _ = interval_of_highest(np.full((20, 1), 3.0), 3.0)
    assert (on_the_bound.p_above, on_the_bound.p_below) == (1.0, 1.0)


def test_for_many_normal_values_it_is_students_interval() -> None:
    values = stats.norm.ppf((np.arange(400) + 0.5) / 400)
    half = stats.t.ppf(0.975, 399) * values.std(ddof=1) / 20
    interval = interval_of_mean(values)
    assert (interval.low, interval.high) == pytest.approx((-half, half), rel=0.06)


def test_missing_values_are_left_out_of_each_mean() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=60)
    padded = np.concatenate([values, np.full(400, np.nan)])
    alone, among_missing = interval_of_mean(values), interval_of_mean(padded)
    assert among_missing.n == 60
    assert among_missing.estimate == pytest.approx(alone.estimate)
    # Resamples of 460 hold 60 of the present ones only on average, so the two agree but for that and for chance.
    assert (among_missing.low, among_missing.high) == pytest.approx((alone.low, alone.high), abs=0.04)


def test_constant_values_have_an_interval_of_no_width() -> None:
    interval = interval_of_mean(np.full(20, -2.5))
    assert (interval.low, interval.estimate, interval.high) == (-2.5, -2.5, -2.5)


def test_one_odd_value_among_equal_ones_is_no_evidence() -> None:
    values = np.zeros(50)
    values[7] = 3.0
    interval = interval_of_mean(values)
    assert interval.low < 0 < interval.high
    assert np.isfinite([interval.low, interval.high]).all()


@pytest.mark.parametrize("n", [1, 2, MIN_EXAMPLES - 1])
def test_with_too_few_examples_there_is_no_interval(n: int) -> None:
    interval = interval_of_mean(np.arange(n, dtype=float) + 5)
    assert interval.estimate == pytest.approx(5 + (n - 1) / 2)
    assert np.isnan([interval.low, interval.high]).all()
    assert f"only {n} probe example" in interval.missing


def test_an_infinite_value_leaves_no_interval() -> None:
    values = np.arange(20.0)
    values[3] = np.inf
    interval = interval_of_mean(values)
    assert np.isnan([interval.low, interval.high]).all()
    assert interval.missing == "a value is infinite"


def test_without_any_example_there_is_no_estimate() -> None:
    for columns in (np.empty((0, 3)), np.empty((9, 0)), np.full((9, 2), np.nan)):
        interval, _ = interval_of_highest(columns)
        assert interval.missing
        assert interval.n == 0


def test_the_highest_of_clearly_different_means_is_that_mean() -> None:
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(50, 3)) + np.array([0.0, 9.0, 4.0])
    interval, highest = interval_of_highest(columns)
    alone = interval_of_mean(columns[:, 1])
    assert highest == 1
    assert interval.estimate == pytest.approx(alone.estimate)
    assert interval.high == pytest.approx(alone.high)
    assert alone.low - 0.5 < interval.low < alone.low  # the price of having had a choice


def test_columns_in_chunks_give_what_columns_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = np.random.default_rng(3).normal(size=(30, 17))
    at_once = interval_of_highest(columns)
    monkeypatch.setattr(intervals, "_COLUMNS_AT_ONCE", 5)
    assert interval_of_highest(columns) == at_once


# --------------------------------------------------------------------------------------------------------------
# Coverage. Each end of a 95 % interval may miss the truth in 2.5 % of cases; with 500 trials, 5 % is 3.5 sigma off.

TRIALS = 500


def misses(draw: object, truth: float, n: int, columns: int, skewed: bool) -> tuple[float, float]:
    rng = np.random.default_rng(11)
    below = above = 0
    for _ in range(TRIALS):
        noise = rng.exponential(size=(n, columns)) - 1 if skewed else rng.normal(size=(n, columns))
        shared = rng.normal(size=(n, 1)) if columns > 1 else 0.0  # examples differ in level, as real ones do
        interval, _ = interval_of_highest(noise + shared + np.asarray(draw))
        below += interval.high < truth
        above += interval.low > truth
    return below / TRIALS, above / TRIALS


@pytest.mark.parametrize(("n", "skewed"), [(20, False), (80, False), (80, True)])
def test_the_interval_of_a_mean_covers_as_often_as_it_says(n: int, skewed: bool) -> None:
    below, above = misses(0.0, 0.0, n, 1, skewed)
    assert below < 0.05
    assert above < 0.05
    assert below + above > 0.02  # and it is not wider than it need be


@pytest.mark.parametrize(
    "course", [np.zeros(2), np.zeros(12), np.sin(np.linspace(0, np.pi, 12)), np.linspace(-1, 0, 8)]
)
def test_the_interval_of_the_highest_mean_covers_it(course: np.ndarray) -> None:
    below, above = misses(course, course.max(), 30, len(course), skewed=False)
    assert below < 0.05
    assert above < 0.05


def test_the_cross_fitted_estimate_is_not_biased_upward_as_the_largest_mean_is() -> None:
    rng = np.random.default_rng(4)
    trials = [rng.normal(size=(30, 12)) for _ in range(200)]
    fitted = np.array([interval_of_highest(columns)[0].estimate for columns in trials])
    largest = np.array([columns.mean(axis=0).max() for columns in trials])
    assert abs(fitted.mean()) < 4 * fitted.std() / np.sqrt(len(trials))
    assert largest.mean() > 0.25  # 1.6 standard errors of 1 / sqrt(30)


def test_choosing_the_peak_and_trusting_its_own_interval_would_have_been_wrong() -> None:
    rng = np.random.default_rng(4)
    naive = 0
    for _ in range(200):
        columns = rng.normal(size=(30, 12))
        naive += interval_of_mean(columns[:, columns.mean(axis=0).argmax()]).low > 0
    assert naive / 200 > 0.1


def test_the_estimate_of_a_highest_mean_is_inside_its_interval() -> None:
    """Noisy columns beside one that is known well: the cross-fitted estimate is below the lower end, and was shown."""
    rng = np.random.default_rng(1)
    columns = np.hstack([rng.normal(0, 0.01, (30, 1)), rng.normal(-0.3, 1, (30, 12))])
    interval, _ = interval_of_highest(columns)
    assert interval.cross_fitted == interval.low
    assert interval.low < interval.estimate < interval.high
