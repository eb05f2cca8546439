"""T1 to T5, M1 and K1 to K6 on small tables whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ldyn.findings import find_all
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, THIS_RUN, TRAJECTORY_COLUMNS, Finding
from ldyn.theory.settings import ToyConfig
from ldyn.theory.toy import toy_table

NONE = pd.DataFrame(columns=list(TRAJECTORY_COLUMNS))
PLACES = [("uniform", "any"), ("flat", "peak"), ("flat", "valley"), ("peaky", "peak"), ("peaky", "valley")]
AS_IN_THEORY = dict(zip(PLACES, (0.1, 0.2, -0.3, 0.4, -1.0), strict=True))
SEEDS = range(3)


def findings(**tables: pd.DataFrame) -> dict[str, Finding]:
    return {finding.id: finding for finding in find_all(NONE, [], {}, tables)}


def by_hand(others: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """15 starts, one step of size 1 or 2, in which other labels change by the given number times the step size."""
    rows = []
    for unit, (start, position), step_size, step in product(range(15), PLACES, (1.0, 2.0), (0, 1)):
        change = others[start, position] * step_size * step * (1 + 0.01 * unit)
        rows.append(
            {
                "seed": unit // 5, "unit": f"{unit // 5}-{unit % 5}", "labels": 20, "start": start,
                "position": position, "step_size": step_size, "step": step, "logp_rejected": -3.0 - step,
                "logp_greedy": -1.0 + 0.5 * step, "others": -4 + change, "poorer_half": -5 + change,
                "rank_correlation": 0.9 if step else float("nan"),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def test_all_hold_on_gradient_steps() -> None:
    table = toy_table(ToyConfig(labels=(20,), starts=6, step_sizes=(0.2, 1.0), steps=2), seeds=(0, 1, 2))
    found = findings(toy=table)
    assert list(found) == ["T1", "T2", "T3", "T4", "T5"]
    assert {(finding.verdict, finding.n, finding.seeds) for finding in found.values()} == {(HOLDS, 18, 3)}
    two = findings(toy=table[table["seed"] < 2])
    assert {finding.verdict for finding in two.values()} == {THIS_RUN}
    assert findings() == {}


def test_each_start_counts_with_its_worst_condition() -> None:
    """The mean of 1 + 0.01 · unit over 15 units is 1.07."""
    found = findings(toy=by_hand(AS_IN_THEORY))
    assert {finding.verdict for finding in found.values()} == {HOLDS}
    estimates = [found[name].estimate for name in ("T1", "T2", "T3", "T4", "T5")]
    # T4: peaky valley, the smaller step; T5: flat, the smaller step
    assert estimates == pytest.approx([-1, 0.5, 0.9, -1.0 * 1.07, (-0.3 - 0.2) * 1.07])


@pytest.mark.parametrize(
    ("claim", "changed"),
    [
        ("T3", {("flat", "valley"): 0.1, ("peaky", "valley"): 0.1}),
        ("T4", {("peaky", "valley"): -0.2}),  # flat is stronger
        ("T4", {("uniform", "any"): -0.6}),
        ("T4", {("peaky", "valley"): 0.1}),  # others rise
        ("T5", {("flat", "peak"): -0.5}),
    ],
)
def test_a_tendency_fails_in_its_worst_condition(claim: str, changed: dict[tuple[str, str], float]) -> None:
    assert findings(toy=by_hand({**AS_IN_THEORY, **changed}))[claim].verdict == FAILS


@pytest.mark.parametrize(
    ("claim", "column", "value"), [("T1", "logp_rejected", 2.0), ("T2", "logp_greedy", -9.0), ("T4", "logp_greedy", -9)]
)
def test_steps_in_the_other_direction_fail_it(claim: str, column: str, value: float) -> None:
    table = by_hand(AS_IN_THEORY)
    table.loc[table["step"] == 1, column] = value
    assert findings(toy=table)[claim].verdict == FAILS


def test_one_exception_leaves_always_open() -> None:
    table = by_hand(AS_IN_THEORY)
    table.loc[table.index[table["step"] == 1][0], "logp_rejected"] = 20.0
    assert findings(toy=table)["T1"].verdict == INCONCLUSIVE


def influence(sign: float = 1.0, predicted: float = 1.0, alike: float = 5.0) -> pd.DataFrame:
    """Likeness of classes a and b: 1 / (1 + |a − b|), 2 for 4 and 9; influence grows with it, but for 4 and 9."""
    random = np.random.default_rng(0)
    rows = []
    for seed, a, b, label in product(SEEDS, range(10), range(10), range(10)):
        pair = {a, b} == {4, 9}
        likeness = 2.0 if pair else 1 / (1 + abs(a - b))
        change = (alike if pair else sign * likeness) + 0.01 * random.normal()
        rows.append(
            {
                "seed": seed, "learned": a, "observed": b, "label": label, "similarity": likeness,
                "actual": change if label == a else -0.5, "actual_measured": change, "predicted": predicted * change,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def test_m1_by_hand() -> None:
    """5 between 4 and 9, minus the mean over the eight other classes, of both rows.

    Row 4: 2 (1/2 + 1/3 + 1/4) + 1/5 (class 0) + 1/5 (class 8) = 77/30; row 9, classes 0 to 3 and 5 to 8:
    1/10 + 1/9 + 1/8 + 1/7 + 1/5 + 1/4 + 1/3 + 1/2 = 4441/2520.
    """
    found = findings(images_influence=influence())["M1"]
    assert (found.verdict, found.n, found.seeds) == (HOLDS, 3, 3)
    assert found.estimate > 0.9
    assert found.parts[1].estimate == pytest.approx(5 - (77 / 30 + 4441 / 2520) / 16, abs=0.01)


def test_m1_is_decided_by_likeness_and_shows_the_rest() -> None:
    assert findings(images_influence=influence(sign=-1.0))["M1"].verdict == FAILS
    apart = findings(images_influence=influence(predicted=-1.0, alike=-5.0))["M1"]
    assert [part.verdict for part in apart.parts] == [HOLDS, FAILS, FAILS]
    assert apart.verdict == HOLDS


# ------------------------------------------------------------------------------------------------ decomposition

PROBES = ("chosen", "rejected", "irr_train", "irr_hum", "random_permute")
EXAMPLES = [f"q{i}" for i in range(20)]


def rows(seed: int) -> pd.DataFrame:
    """One row for each stage, step, example and probe, with noise that no test depends on."""
    keys = list(product(("sft", "dpo"), (0, 10, 20), EXAMPLES, PROBES))
    frame = pd.DataFrame(keys, columns=["stage", "step", "example_id", "probe"])
    return frame.assign(noise=np.random.default_rng(seed).normal(size=len(frame)))


def changes(seed: int, error_of_dpo: float) -> pd.DataFrame:
    """SFT is predicted to the digit; in DPO the actual change is off by this share of its size, either way."""
    frame = rows(seed)
    sign = np.where(np.arange(len(frame)) % 2, 1.0, -1.0)
    error = error_of_dpo + seed / 1000
    off = np.where(frame["stage"] == "dpo", error, 0.0) * sign * frame["noise"]
    own = frame.assign(step_size=1.0, actual=frame["noise"], predicted=frame["noise"] - off)
    return pd.concat([own, own.assign(step_size=10.0, predicted=0.0)])  # larger steps do not count


@pytest.mark.parametrize(("error", "verdict"), [(0.1, HOLDS), (0.9, FAILS)])
def test_k2_is_the_share_of_the_squared_change(over_seeds: Any, error: float, verdict: str) -> None:
    """Off by e everywhere, the share is 1 − e² in DPO and 1 in SFT; the mean of both against 0.9."""
    finding = over_seeds(tables=[{"changes": changes(seed, error)} for seed in SEEDS])["K2"]
    assert finding.verdict == verdict
    assert finding.estimate == pytest.approx(1 - error**2 / 2, abs=0.003)
    assert [part.estimate for part in finding.parts[1:]] == pytest.approx([1, 1 - error**2], abs=0.003)


@pytest.mark.parametrize(
    ("shares", "verdict"), [((0.8, 0.7), HOLDS), ((0.2, 0.3), FAILS), ((0.6, 0.4), "no effect found")]
)
def test_k3_is_the_share_of_the_unembedding(over_seeds: Any, shares: tuple[float, float], verdict: str) -> None:
    def table(seed: int) -> pd.DataFrame:
        frame = rows(seed)
        actual = 1 + frame["noise"]
        share = np.where(frame["stage"] == "sft", *shares) + seed / 1000
        parts = (("layer 1", 1 - share), ("unembedding", share))
        return pd.concat([frame.assign(part=part, actual=actual, predicted=own * actual) for part, own in parts])

    finding = over_seeds(tables=[{"change_parts": table(seed)} for seed in SEEDS])["K3"]
    assert (finding.verdict, finding.estimate) == (verdict, pytest.approx(sum(shares) / 2 + 0.001))


def test_k6_is_about_whole_stages(over_seeds: Any) -> None:
    """The kernel at the start gives half of each change: 1 − ¼; from snapshot to snapshot 0.9 of it: 1 − 0.01."""

    def table(seed: int) -> pd.DataFrame:
        frame = rows(seed)[lambda own: own["step"] == 0]
        actual = 3 + frame["noise"]
        halves = {"kernel_at_start": (0.5 + seed / 1000) * actual, "kernel_at_snapshots": 0.9 * actual}
        return frame.assign(actual=actual, **halves)

    finding = over_seeds(tables=[{"stage_changes": table(seed)} for seed in SEEDS])["K6"]
    assert (finding.verdict, finding.estimate) == (HOLDS, pytest.approx(0.75, abs=0.002))
    assert [part.estimate for part in finding.parts[1:]] == pytest.approx([0.75, 0.75, 0.99, 0.99], abs=0.002)


def norms(scatter: float, start_reversed: bool = False, seed: int = 0) -> pd.DataFrame:
    """Norms 1 … 5 in the order of PROBES; ``scatter`` mixes them up; at the start they may stand in reverse."""
    frame = rows(seed)
    base = frame["probe"].map({probe: number + 1.0 for number, probe in enumerate(PROBES)})
    base = base.where(~((frame["step"] == 0) & start_reversed), 6 - base)
    updated = frame.assign(updated="chosen", per_pair=base + scatter * frame["noise"])
    return pd.concat([updated, updated.assign(updated="rejected", per_pair=-base)])


def test_k1_by_the_order_of_norms_after_the_messy_start(over_seeds: Any) -> None:
    kept = over_seeds(tables=[{"kernel_norms": norms(0.1, True, seed)} for seed in SEEDS])["K1"]
    assert (kept.verdict, kept.estimate) == (HOLDS, pytest.approx(1, abs=0.02))
    chance = over_seeds(tables=[{"kernel_norms": norms(100.0, seed=seed)} for seed in SEEDS])["K1"]
    assert chance.verdict == FAILS
    table = norms(0.1)
    assert "K1" not in findings(kernel_norms=table[table["step"] < 20])  # one probe step after the start


def pairs(weight: float, seed: int) -> pd.DataFrame:
    """Scores that go with the fall of y⁺ by this weight, against noise."""
    noise = np.random.default_rng(seed).normal(size=(3, 60))
    table = pd.DataFrame({"stage": "dpo", "example_id": [f"q{i}" for i in range(60)], "change": -noise[0]})
    return table.assign(entanglement=weight * noise[0] + noise[1], ches=-weight * noise[0] + noise[2])


def test_k4_and_k5_by_the_rank_correlation_with_the_fall(over_seeds: Any) -> None:
    found = over_seeds(tables=[{"displacement": pairs(3.0, seed)} for seed in SEEDS])
    assert (found["K4"].verdict, found["K5"].verdict) == (HOLDS, FAILS)
    assert found["K4"].estimate > 0.8
    assert findings(displacement=pairs(1.0, 0).assign(change=np.nan)) == {}
