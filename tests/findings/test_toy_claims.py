"""Claims T1 to T5 on small tables: they hold where theory is at work, and fail where the numbers say otherwise."""

from __future__ import annotations

from itertools import product

import pandas as pd
import pytest

from ldyn.findings import find_all
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, TRAJECTORY_COLUMNS, Finding
from ldyn.theory.settings import ToyConfig
from ldyn.theory.toy import toy_table

CLAIMS = ("T1", "T2", "T3", "T4", "T5")
NONE = pd.DataFrame(columns=list(TRAJECTORY_COLUMNS))
PLACES = [("uniform", "any"), ("flat", "peak"), ("flat", "valley"), ("peaky", "peak"), ("peaky", "valley")]


def findings(table: pd.DataFrame) -> dict[str, Finding]:
    return {finding.id: finding for finding in find_all(NONE, [], {}, {"toy": table})}


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    return toy_table(ToyConfig(labels=(20,), starts=6, step_sizes=(0.2, 1.0), steps=2), seeds=(0, 1))


def by_hand(others: dict[tuple[str, str], float]) -> pd.DataFrame:
    """Ten starts, one step of size 1 or 2, in which other labels change by the given number times the step size."""
    rows = []
    for unit, (start, position), step_size, step in product(range(10), PLACES, (1.0, 2.0), (0, 1)):
        change = others[start, position] * step_size * step * (1 + 0.01 * unit)
        rows.append(
            {
                "seed": unit // 5, "unit": f"{unit // 5}-{unit % 5}", "labels": 20, "start": start,
                "position": position, "step_size": step_size, "step": step, "logp_rejected": -3.0 - step,
                "logp_greedy": -1.0 + 0.5 * step, "others": -4 + change, "poorer_half": -5 + change,
                "rank_correlation": 0.9 if step else float("nan"), "closed_form_difference": 0.0,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


AS_IN_THEORY = dict(zip(PLACES, (0.1, 0.2, -0.3, 0.4, -1.0), strict=True))


def test_all_hold_on_gradient_steps_and_say_what_they_rest_on(real: pd.DataFrame) -> None:
    found = findings(real)
    assert tuple(found) == CLAIMS
    assert {finding.verdict for finding in found.values()} == {HOLDS}
    assert {(finding.n, finding.seeds) for finding in found.values()} == {(12, 2)}


def test_a_run_without_the_table_has_none_of_them() -> None:
    assert find_all(NONE, [], {}, {}) == []


def test_the_numbers_are_those_of_the_table() -> None:
    """The mean of 1 + 0.01 · unit over ten units is 1.045."""
    found = findings(by_hand(AS_IN_THEORY))
    assert {finding.verdict for finding in found.values()} == {HOLDS}
    assert found["T1"].estimate == pytest.approx(-1)
    assert found["T2"].estimate == pytest.approx(0.5)
    assert found["T3"].estimate == pytest.approx(0.9)
    assert found["T4"].estimate == pytest.approx(-1.0 * 1.045)  # peaky valley, the smaller step
    assert found["T5"].estimate == pytest.approx((-0.3 - 0.2) * 1.045)  # flat, the smaller step


@pytest.mark.parametrize(("claim", "column", "value"), [("T1", "logp_rejected", 0.0), ("T2", "logp_greedy", -9.0)])
def test_one_exception_refutes_always(claim: str, column: str, value: float) -> None:
    table = by_hand(AS_IN_THEORY)
    [row, *_] = table.index[(table["step"] == 1)]
    table.loc[row, column] = value
    finding = findings(table)[claim]
    assert finding.verdict == FAILS
    assert "1 of 2 parts" in finding.reason
    assert "of all 100 single changes" in finding.reason


def test_t3_fails_where_the_poor_gain_as_much_as_the_rich() -> None:
    table = by_hand(AS_IN_THEORY)
    reversed_ranks = table.assign(rank_correlation=-table["rank_correlation"])
    assert findings(reversed_ranks)["T3"].verdict == FAILS
    rising = by_hand({**AS_IN_THEORY, ("flat", "valley"): 0.1, ("peaky", "valley"): 0.1})
    assert findings(rising)["T3"].verdict == FAILS


@pytest.mark.parametrize(
    "changed",
    [{("peaky", "valley"): -0.2}, {("uniform", "any"): -0.6}, {("peaky", "valley"): 0.1}],
    ids=["flat is stronger", "uniform is stronger", "others rise"],
)
def test_t4_fails_where_peakier_is_not_stronger(changed: dict[tuple[str, str], float]) -> None:
    assert findings(by_hand({**AS_IN_THEORY, **changed}))["T4"].verdict == FAILS


def test_t4_fails_where_more_than_the_greedy_label_gains() -> None:
    table = by_hand(AS_IN_THEORY)
    table["logp_greedy"] = -9.0 + 0.01 * table["step"]  # far less than y⁻ loses, which goes from e⁻³ to e⁻⁴
    assert findings(table)["T4"].verdict == FAILS


def test_t5_fails_where_the_peak_is_stronger_or_a_larger_step_milder() -> None:
    assert findings(by_hand({**AS_IN_THEORY, ("flat", "peak"): -0.5}))["T5"].verdict == FAILS
    table = by_hand(AS_IN_THEORY)
    table.loc[table["step_size"] == 2.0, "others"] = -4.0
    assert findings(table)["T5"].verdict == FAILS


def test_too_few_starts_leave_a_claim_open(real: pd.DataFrame) -> None:
    finding = findings(real[real["unit"].isin(["0-0", "0-1", "1-0"])])["T4"]
    assert finding.verdict == INCONCLUSIVE
    assert "8 are needed" in finding.reason
