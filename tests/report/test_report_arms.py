"""Arms side by side: changes over all rounds, paired by example; intervals over examples or over seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ldyn.records import TRAJECTORY_COLUMNS, StageInfo
from ldyn.report.arms import arm_changes, summarise_arms

VIEW = ("chosen", "rejected")
STAGES = (
    StageInfo("sft", "sft", "pointwise", ("chosen",), "base"),
    StageInfo("dpo", "dpo", "pairwise", VIEW, "sft"),
    StageInfo("ipo_1", "ipo", "pairwise", VIEW, "sft"),
    StageInfo("ipo_2", "ipo", "pairwise", VIEW, "ipo_1"),
)


def rows(stage: str, step: int, values: dict[str, list[float]]) -> pd.DataFrame:
    """logp of each probe (one value an example); the greedy mass is half of it."""
    frames = [
        pd.DataFrame({"probe": probe, "example_id": [f"q{i}" for i in range(len(logp))], "logp": logp})
        for probe, logp in values.items()
    ]
    table = pd.concat(frames, ignore_index=True).assign(stage=stage, step=step, split="train", algorithm="-", epoch=0.0)
    table["logp_argmax"] = table["logp"] / 2
    for name in TRAJECTORY_COLUMNS:
        if name not in table:
            table[name] = 8 * step if name in ("examples_seen", "n_tokens") else 0.5
    return table[list(TRAJECTORY_COLUMNS)]


def trajectories(shift: float = 0.0) -> pd.DataFrame:
    start = {"chosen": [-10.0, -20.0], "rejected": [-30.0, -40.0], "irr_train": [-8.0, -8.0], "irr_hum": [-9.0, -9.0]}
    moved = {"chosen": [-12.0, -26.0 - shift], "rejected": [-50, -70], "irr_train": [-9, -9], "irr_hum": [-12, -12]}
    between = {probe: [value - 100 for value in values] for probe, values in start.items()}
    parts = [("sft", 0, start), ("sft", 9, start), ("dpo", 0, start), ("dpo", 5, between), ("dpo", 9, moved)]
    parts += [("ipo_1", 0, start), ("ipo_1", 9, between), ("ipo_2", 0, between), ("ipo_2", 9, moved)]
    return pd.concat([rows(*part) for part in parts], ignore_index=True)


def test_an_arm_goes_from_its_first_round_s_start_to_its_last_round_s_end():
    changes = arm_changes(trajectories(), STAGES).pivot_table("change", "quantity", "arm")
    # means over two examples: y⁺ (−2 − 6)/2, y⁻ (−20 − 30)/2, others the mean of −1 and −3, margin −4 + 25
    expected = {"chosen": -4.0, "rejected": -25.0, "others": -2.0, "greedy": -2.0, "margin": 21.0}
    assert changes["dpo"].to_dict() == pytest.approx(expected)
    assert changes["ipo"].to_dict() == pytest.approx(expected)


def test_intervals_are_over_examples_of_one_run_and_over_the_means_of_several():
    one = summarise_arms({"a": arm_changes(trajectories(), STAGES)}).set_index(["arm", "quantity"])
    assert one.loc[("dpo", "chosen"), "n"] == 2
    assert one.loc[("dpo", "chosen"), "half"] == pytest.approx(12.706 * np.std([-2, -6], ddof=1) / np.sqrt(2), rel=1e-3)
    runs = {str(shift): arm_changes(trajectories(shift), STAGES) for shift in (0.0, 2.0, 4.0)}
    three = summarise_arms(runs).set_index(["arm", "quantity"]).loc[("dpo", "chosen")]
    assert three["n"] == 3
    assert list(three["of_each"]) == pytest.approx([-4, -5, -6])
    assert three["half"] == pytest.approx(4.303 * 1 / np.sqrt(3), rel=1e-3)


def test_arms_of_grpo_have_pass_rates_and_the_entropy_of_sampled_answers():
    """Two questions, 8 samples; right ones 1 → 3 and 0 → 0 over DPO, 4 → 8 of both over GRPO."""
    grpo = StageInfo("ipo_1", "grpo", "groupwise", (), "sft")
    counts = [("dpo", 0, (1, 0)), ("dpo", 5, (8, 8)), ("dpo", 9, (3, 0)), ("ipo_1", 0, (4, 4)), ("ipo_1", 9, (8, 8))]
    passes = pd.DataFrame(
        [
            {"stage": stage, "step": step, "split": "train", "example_id": f"q{i}", "samples": 8, "correct": right,
             "entropy": 2.0 - step / 9}
            for stage, step, both in counts
            for i, right in enumerate(both)
        ]
    )  # fmt: skip
    unseen = passes.assign(split="test", correct=0)
    changes = arm_changes(trajectories(), (*STAGES[:2], grpo), pd.concat([passes, unseen]))
    found = changes.pivot_table("change", "quantity", "arm")
    assert list(found.columns) == ["dpo", "ipo_1"]
    assert found.loc[["pass@1", "pass@8", "entropy"], "dpo"].tolist() == pytest.approx([1 / 8, 0.0, -1.0])
    assert found.loc[["pass@1", "pass@8", "entropy"], "ipo_1"].tolist() == pytest.approx([0.5, 0.0, -1.0])
