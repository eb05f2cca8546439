"""Claims K1 to K5 on small tables whose answers are known: they hold, fail or stay open as the numbers say."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from ldyn.findings import find_all
from ldyn.findings.claims_kernel import relative_error, slope_and_correlation
from ldyn.numerics.statistics import kendall_tau, standard_ranks
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, TRAJECTORY_COLUMNS, Finding

NONE = pd.DataFrame(columns=list(TRAJECTORY_COLUMNS))
PROBES = ("chosen", "rejected", "irr_train", "irr_hum", "random_permute")
EXAMPLES = [f"q{i}" for i in range(20)]


def findings(**tables: pd.DataFrame) -> dict[str, Finding]:
    return {finding.id: finding for finding in find_all(NONE, [], {}, tables)}


def rows(stages: tuple[str, ...] = ("sft", "dpo"), steps: tuple[int, ...] = (0, 10, 20)) -> pd.DataFrame:
    """One row for each stage, step, example and probe, with noise that no test depends on."""
    keys = list(product(stages, steps, EXAMPLES, PROBES))
    frame = pd.DataFrame(keys, columns=["stage", "step", "example_id", "probe"])
    return frame.assign(noise=np.random.default_rng(0).normal(size=len(frame)))


# ------------------------------------------------------------------------------------------------ K2


def changes(error_of_dpo: float) -> pd.DataFrame:
    """SFT is predicted to the digit; in DPO the actual change is off by this share of its size, either way."""
    frame = rows()
    actual = frame["noise"]
    sign = np.where(np.arange(len(frame)) % 2, 1.0, -1.0)
    off = np.where(frame["stage"] == "dpo", error_of_dpo, 0.0) * sign * actual
    own = frame.assign(step_size=1.0, actual=actual, predicted=actual - off)
    return pd.concat([own, own.assign(step_size=10.0, predicted=0.0)])  # larger steps have no part in the verdict


@pytest.mark.parametrize(("error", "verdict"), [(0.1, HOLDS), (0.6, FAILS)])
def test_k2_is_the_share_of_the_squared_change(error: float, verdict: str) -> None:
    """Off by e everywhere, the share is 1 − e²: 0.99 or 0.64, against 0.9."""
    finding = findings(changes=changes(error))["K2"]
    assert finding.verdict == verdict
    assert finding.n == 20
    assert f"share predicted in dpo: {1 - error**2:+.3g}" in finding.reason or verdict == HOLDS
    assert "in sft correlation 1.000, slope 1.00, relative error 0.00" in finding.reason
    assert f"relative error {error:.2f}" in finding.reason


def test_k2_of_a_prediction_of_no_change_is_zero() -> None:
    table = changes(0.0).assign(predicted=0.0)
    assert findings(changes=table)["K2"].estimate == pytest.approx(0)


# ------------------------------------------------------------------------------------------------ K3


def parts(share_in_sft: float, share_in_dpo: float) -> pd.DataFrame:
    """The unembedding gives this share of every change, one layer the rest."""
    frame = rows()
    actual = 1 + frame["noise"]
    share = np.where(frame["stage"] == "sft", share_in_sft, share_in_dpo)
    share = share + 0.01 * np.sin(np.arange(len(frame)))  # a little scatter, as an interval needs
    return pd.concat(
        [
            frame.assign(part="layer 1", actual=actual, predicted=(1 - share) * actual, gradient_descent=actual / 4),
            frame.assign(part="unembedding", actual=actual, predicted=share * actual, gradient_descent=3 * actual / 4),
        ]
    )


@pytest.mark.parametrize(
    ("shares", "verdict"), [((0.8, 0.7), HOLDS), ((0.8, 0.3), FAILS), ((0.2, 0.3), FAILS), ((0.8, 0.5), INCONCLUSIVE)]
)
def test_k3_asks_for_more_than_half_in_every_stage(shares: tuple[float, float], verdict: str) -> None:
    finding = findings(change_parts=parts(*shares))["K3"]
    assert finding.verdict == verdict
    assert finding.estimate == pytest.approx(shares[0], abs=0.01)
    assert f"unembedding {shares[0]:.2f}; in dpo layer 1 {1 - shares[1]:.2f}" in finding.reason
    assert "claimed above 0.5" in finding.reason


# ------------------------------------------------------------------------------------------------ K1


def norms(scatter: float, start_reversed: bool = False) -> pd.DataFrame:
    """Norms 1 … 5 in the order of PROBES; ``scatter`` mixes them up; at the start they may stand in reverse."""
    frame = rows()
    base = frame["probe"].map({probe: number + 1.0 for number, probe in enumerate(PROBES)})
    base = base.where(~((frame["step"] == 0) & start_reversed), 6 - base)
    value = base + scatter * frame["noise"]
    updated = frame.assign(updated="chosen", per_pair=value, norm=value, standard_error=0.1)
    return pd.concat([updated, updated.assign(updated="rejected", per_pair=-value)])


def test_k1_holds_where_the_order_is_kept_and_leaves_out_the_messy_start() -> None:
    finding = findings(kernel_norms=norms(0.1, start_reversed=True))["K1"]
    assert (finding.verdict, finding.estimate) == (HOLDS, pytest.approx(1, abs=0.02))


def test_k1_fails_where_the_order_is_chance() -> None:
    finding = findings(kernel_norms=norms(100.0))["K1"]
    assert finding.verdict == FAILS
    assert abs(finding.estimate) < 0.25


def test_k1_needs_two_moments_after_the_start() -> None:
    table = norms(0.1)
    assert "K1" not in findings(kernel_norms=table[table["step"] < 20])


# ------------------------------------------------------------------------------------------------ K4, K5


def pairs(entanglement: float, ches: float) -> pd.DataFrame:
    """Scores that go with the fall of y⁺ by these weights, against noise."""
    noise = np.random.default_rng(1).normal(size=(3, 60))
    fall = noise[0] + 1
    scores = {
        name: weight * fall + noise[i]
        for i, (name, weight) in enumerate((("entanglement", entanglement), ("ches", ches)), 1)
    }
    return pd.DataFrame({"stage": "dpo", "example_id": [f"q{i}" for i in range(60)], "change": -fall, **scores})


def test_a_score_that_goes_with_the_fall_foretells_it() -> None:
    found = findings(displacement=pairs(3.0, -3.0))
    assert (found["K4"].verdict, found["K5"].verdict) == (HOLDS, FAILS)
    assert found["K4"].estimate > 0.8
    assert findings(displacement=pairs(0.0, 0.0))["K4"].verdict == INCONCLUSIVE


def test_without_an_outcome_there_is_nothing_to_foretell() -> None:
    assert findings(displacement=pairs(1.0, 1.0).assign(change=np.nan)) == {}


def test_a_run_without_a_decomposition_has_none_of_them() -> None:
    assert findings() == {}


# ------------------------------------------------------------------------------------------------ by hand


def test_agreement_by_hand() -> None:
    """x = −1, 0, 1 and y = −1, 1, 3: slope 2 and correlation 1; error ‖(0, 1, 2)‖ / ‖(−1, 1, 3)‖ = √5 / √11."""
    x, y = np.array([-1.0, 0.0, 1.0]), np.array([-1.0, 1.0, 3.0])
    assert slope_and_correlation(x, y) == pytest.approx((2.0, 1.0))
    assert relative_error(x, y) == pytest.approx((5 / 11) ** 0.5)
    assert np.isnan(slope_and_correlation(np.zeros(3), y)).all()


def test_ranks_by_hand() -> None:
    """Of the three pairs of 1, 3, 2 two stand as in 1, 2, 3: τ = 2/3 − 1/3. Ranks of 5, 9, 5: −1, 2, −1 over √2."""
    assert kendall_tau(np.array([1.0, 2, 3]), np.array([1.0, 3, 2])) == pytest.approx(1 / 3)
    assert standard_ranks(np.array([5.0, 9, 5])) == pytest.approx(np.array([-1, 2, -1]) / 2**0.5)
    assert standard_ranks(np.ones(4)) == pytest.approx(np.zeros(4))
    assert np.isnan(kendall_tau(np.ones(1), np.ones(1)))
