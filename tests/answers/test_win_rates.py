"""Win rates, their intervals, and what two orders of a comparison come to."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy import stats

from ldyn.answers.comparison import Comparison, GivenAnswer, Judgement, Verdict
from ldyn.answers.win_rates import summarise, wilson


def comparison(a: str = "x", b: str = "y", example_id: str = "q", **known: Any) -> Comparison:
    return Comparison("test", example_id, "greedy", 0, "Why?", GivenAnswer(a, **known), GivenAnswer(b, **known))


@pytest.mark.parametrize(
    ("a_first", "b_first", "outcome", "disagree"),
    [
        ("first", "second", "a", False),
        ("second", "first", "b", False),
        ("first", "first", "tie", True),  # whoever stands first wins: the order decided
        ("tie", "tie", "tie", False),
        ("first", "tie", "tie", True),
        (None, "first", None, False),
    ],
)
def test_outcome_of_two_verdicts(a_first: Any, b_first: Any, outcome: str | None, disagree: bool) -> None:
    judgement = Judgement(comparison(), Verdict(a_first), Verdict(b_first))
    assert (judgement.outcome, judgement.orders_disagree) == (outcome, disagree)


def test_a_result_by_hand() -> None:
    verdicts: list[tuple[Any, Any]] = [("first", "second")] * 5 + [("first", "first")] * 2 + [("second", "first")]
    verdicts += [(None, "second"), ("second", None)]
    found = [
        Judgement(comparison("four", "seventy", f"q{n}", n_tokens=n), Verdict(forward), Verdict(backward))
        for n, (forward, backward) in enumerate(verdicts)
    ]
    result = summarise(("A", "B"), "me", found, {"only_a": 0, "only_b": 0})
    assert (result.n_questions, result.n_comparisons) == (10, 10)
    assert (result.wins, result.losses, result.ties, result.unjudged) == (5, 1, 2, 2)
    assert result.orders_disagree == 2
    assert result.win_rate.value == pytest.approx((5 + 2 / 2) / 8)
    assert result.win_rate.n == 8
    assert (result.at_worst, result.at_best) == (pytest.approx(6 / 10), pytest.approx(8 / 10))
    # Decided verdicts: 5 + 2 + 0 firsts of the first order; 2 + 1 of the second; 18 in all.
    assert result.first_preferred.value == pytest.approx(10 / 18)
    assert (result.lengths_a["characters"], result.lengths_b["characters"], result.lengths_a["tokens"]) == (4, 7, 4.5)
    unread = summarise(("A", "B"), "me", found[-2:-1], {})
    assert math.isnan(unread.win_rate.value)
    assert (unread.at_worst, unread.at_best) == (0, 1)


def test_samples_of_one_question_are_one_observation() -> None:
    both = Verdict("first"), Verdict("second")
    none = Verdict("tie"), Verdict("tie")
    found = [Judgement(comparison(example_id=name), *pair) for name, pair in (("q", both), ("q", none), ("p", none))]
    result = summarise(("A", "B"), "me", found, {})
    assert (result.n_questions, result.n_comparisons, result.win_rate.n) == (2, 3, 2)
    assert result.win_rate.value == pytest.approx((0.75 + 0.5) / 2)


@pytest.mark.parametrize(("wins", "n"), [(0, 10), (8, 10), (10, 10), (250, 500), (1, 3)])
def test_wilson_equals_scipys(wins: int, n: int) -> None:
    expected = stats.binomtest(wins, n).proportion_ci(method="wilson")
    found = wilson([1.0] * wins + [0.0] * (n - wins))
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.value == pytest.approx(wins / n)
