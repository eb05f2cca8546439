"""What several runs say of one claim together, from measurements made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ldyn.errors import RunDirectoryError
from ldyn.findings.claim import Measurement
from ldyn.findings.intervals import Interval
from ldyn.findings.parts import MEANS_ONLY, Part
from ldyn.findings.weighing import Alone, Weighed, weigh
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE


def part(estimate: float, half: float = 0.1, quantity: str = "rise", **others: Any) -> Part:
    """Claimed above zero, with the interval of one run."""
    interval = Interval(estimate, estimate - half, estimate + half, 40, others.pop("missing", ""))
    return Part(quantity, "above", interval, **others)


def alone(number: int, *parts: Part, shortfalls: tuple[str, ...] = (), **others: Any) -> Alone:
    return Alone(f"seed {number}", Measurement(parts, (), **others), shortfalls)


def weigh_values(*values: float, **others: Any) -> Weighed:
    return weigh("exp", [alone(number, part(value), **others) for number, value in enumerate(values)])


def test_the_mean_of_the_seeds_with_students_interval_by_hand() -> None:
    """1, 2, 3: mean 2, standard error 1/√3, t = 3.4641; P(T₂ ≥ t) = ½ (1 − t / √(t² + 2)) = 0.037090."""
    weighed = weigh_values(1.0, 2.0, 3.0)
    (over,) = weighed.parts
    assert over.interval.estimate == weighed.estimate == 2.0
    assert (over.interval.low, over.interval.high) == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-5)
    assert (over.p_claimed, over.p_contrary) == pytest.approx((0.037090, 0.962910), abs=1e-6)
    assert (weighed.seeds, weighed.alone, list(weighed.left_open)) == (3, {HOLDS: 3}, [])


def test_it_is_the_balanced_random_effects_model() -> None:
    """Its variance of the grand mean, MS(between) / (S n), from the sums of squares of single examples."""
    values = np.random.default_rng(0).normal(size=(4, 25)) + np.array([[0.5], [1.0], [0.2], [1.4]])
    between = 25 * values.mean(axis=1).var(ddof=1)
    (over,) = weigh_values(*values.mean(axis=1)).parts
    assert over.interval.estimate == pytest.approx(values.mean())
    half = 3.182446 * np.sqrt(between / values.size)  # t(0.975; 3)
    assert over.interval.high - over.interval.estimate == pytest.approx(half, rel=1e-6)


def test_a_bound_other_than_zero() -> None:
    (over,) = weigh("exp", [alone(n, part(value, bound=0.5)) for n, value in enumerate((0.5, 0.6, 0.7))]).parts
    assert over.p_claimed == pytest.approx(0.5 * (1 - np.sqrt(3) / np.sqrt(5)))  # t = 0.1 / (0.1 / √3)


def test_a_choice_is_fair_on_both_sides() -> None:
    """Cross-fitted 1, 2, 3 make estimate and lower end; the measured 2, 3, 4 make the upper end, 3 + 2.48414."""
    runs = [alone(n, part(value, measured=value + 1)) for n, value in enumerate((1.0, 2.0, 3.0))]
    (over,) = weigh("exp", runs).parts
    ends = (over.interval.estimate, over.interval.low, over.interval.high)
    assert ends == pytest.approx((2, 2 - 2.48414, 3 + 2.48414), abs=1e-5)
    assert over.p_claimed == pytest.approx(0.037090, abs=1e-6)
    assert over.p_contrary == pytest.approx(1 - 0.5 * (1 - 5.19615 / np.sqrt(29)), abs=1e-5)  # t = 3√3


def test_a_run_that_stopped_early_does_not_count_but_is_told() -> None:
    runs = [alone(n, part(value)) for n, value in enumerate((1.0, 2.0, 3.0))]
    weighed = weigh("exp", [*runs, alone(3, part(90.0), shortfalls=("stage dpo stopped at step 3 of 9",))])
    assert (weighed.seeds, weighed.estimate, weighed.alone) == (3, 2.0, {HOLDS: 3, INCONCLUSIVE: 1})
    assert weighed.notes == ["seed 3 is not used: stage dpo stopped at step 3 of 9"]
    assert not weighed.left_open


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.1]])
def test_fewer_than_three_seeds_are_left_open(values: list[float]) -> None:
    weighed = weigh_values(*values)
    assert not weighed.has_intervals
    assert weighed.estimate == pytest.approx(np.mean(values))
    assert "3 are needed" in weighed.left_open[0]
    assert weighed.notes[0] == "seed 0 alone +1, holds"


def test_means_without_examples_do_not_count() -> None:
    runs = [alone(n, part(value, missing=MEANS_ONLY)) for n, value in enumerate((1.0, 2.0, 3.0))]
    weighed = weigh("exp", runs)
    assert (weighed.seeds, weighed.estimate, weighed.has_intervals) == (0, 2.0, False)
    assert weighed.notes[0] == f"seed 0 is not used: {MEANS_ONLY}"


def test_a_plain_mean_of_few_examples_counts_but_a_choice_among_them_does_not() -> None:
    """A seed in which a judge mostly ties has a win rate near 1/2 and no interval: it must not be left out."""
    few = {"missing": "2 of 24 questions are decided"}
    rates = [part(0.9, bound=0.5), part(0.8, bound=0.5), part(0.5, bound=0.5, **few)]
    weighed = weigh("exp", [alone(n, one) for n, one in enumerate(rates)])
    assert (weighed.seeds, weighed.has_intervals) == (3, True)
    assert weighed.estimate == pytest.approx(2.2 / 3)
    chosen = [part(1.0, measured=1.1), part(1.2, measured=1.3), part(1.4, measured=1.4, **few)]
    weighed = weigh("exp", [alone(n, one) for n, one in enumerate(chosen)])
    assert (weighed.seeds, weighed.notes[-1]) == (2, "seed 2 is not used: 2 of 24 questions are decided")


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_what_is_no_number_does_not_count(broken: float) -> None:
    values = [1.0, 2.0, 3.0]
    runs = [alone(n, part(value)) for n, value in enumerate(values)]
    weighed = weigh("exp", [*runs, alone(3, part(broken, missing="a value is infinite"))])
    assert (weighed.seeds, weighed.estimate) == (3, 2.0)


def test_seeds_that_measured_different_parts() -> None:
    runs = [alone(n, part(1.0 + n, quantity="rise" if n else "fall")) for n in range(3)]
    weighed = weigh("exp", runs)
    assert list(weighed.left_open) == ["the seeds measured different parts"]
    assert (weighed.estimate, weighed.has_intervals) == (2.0, False)


def test_reasons_of_single_runs_count_if_most_have_one() -> None:
    def weighed(how_many: int) -> Weighed:
        reasons = [("nothing to lessen",) if n < how_many else () for n in range(4)]
        return weigh("exp", [alone(n, part(1.0 + n), left_open=reason) for n, reason in enumerate(reasons)])

    words = "of 4 seeds alone are inconclusive: seed 0 because nothing to lessen"
    assert list(weighed(3).left_open) == [f"3 {words}"]
    assert (list(weighed(2).left_open), weighed(2).notes) == ([], [f"2 {words}"])
    assert weighed(2).seeds == 4  # none is left out by what it found


def with_controls(values: list[float], half: float = 0.1) -> Weighed:
    """Four runs in which the claim holds, each with a control of the given value."""
    control = [{"other": Measurement([part(value, half)], ())} for value in values]
    return weigh("exp", [alone(n, part(1.0 + n / 10), controls=control[n]) for n in range(4)])


def test_a_control_that_contradicts_over_the_seeds_leaves_it_open() -> None:
    weighed = with_controls([-1.0, -1.1, -0.9, -1.2], half=5.0)  # none of them beyond doubt alone
    assert weighed.left_open == [f"control other {FAILS} over seeds, contradicts in 0 of 4 single seeds"]


def test_a_control_that_contradicts_within_most_runs_leaves_it_open() -> None:
    weighed = with_controls([-9.0, -1.0, -1.0, 5.0])
    assert weighed.left_open == [f"control other {INCONCLUSIVE} over seeds, contradicts in 3 of 4 single seeds"]


def test_a_control_that_agrees_or_is_in_doubt_is_told() -> None:
    weighed = with_controls([1.0, 1.1, 0.9, -1.2])
    assert not weighed.left_open
    assert weighed.notes == [f"control other {INCONCLUSIVE} over seeds, contradicts in 1 of 4 single seeds"]


def test_a_study_keeps_its_own_interval() -> None:
    weighed = weigh("toy", [alone(0, part(2.0), seeds=5)])
    assert (weighed.seeds, weighed.alone, weighed.has_intervals) == (5, None, True)
    assert list(weigh("toy", [alone(0, part(2.0), seeds=2)]).left_open) == [
        "only 2 usable seeds, at least 3 are needed"
    ]
    with pytest.raises(RunDirectoryError, match="found 2 runs of a study, expected 1"):
        weigh("toy", [alone(n, part(2.0), seeds=5) for n in range(2)])
