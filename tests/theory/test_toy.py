"""The tables of `ldyn toy`, against a slow loop over single labels."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from ldyn.theory.toy import ToyConfig, conditions, distributions_table, random_logits, toy_table

SMALL = ToyConfig(labels=(12, 20), starts=3, step_sizes=(0.2, 1.0), steps=2)
SEEDS = (4, 5)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return toy_table(SMALL, SEEDS)


def slow_course(logits: list[float], rejected: int, step_size: float, steps: int) -> list[list[float]]:
    """log p after each step, label by label."""
    course = []
    for _ in range(steps + 1):
        total = math.fsum(math.exp(z) for z in logits)
        course.append([z - math.log(total) for z in logits])
        p = [math.exp(logp) for logp in course[-1]]
        logits = [z + step_size * (p[i] - (i == rejected)) for i, z in enumerate(logits)]
    return course


def test_every_start_is_measured_under_every_condition_at_every_step(table: pd.DataFrame) -> None:
    assert len(table) == len(SEEDS) * 3 * 2 * 5 * 2 * 3  # seeds, starts, sizes, conditions, step sizes, moments
    assert not table.duplicated(["unit", "labels", "start", "position", "step_size", "step"]).any()
    assert set(table["unit"]) == {f"{seed}-{start}" for seed in SEEDS for start in range(3)}
    assert set(zip(table["start"], table["position"], strict=True)) == {
        ("uniform", "any"), ("flat", "peak"), ("flat", "valley"), ("peaky", "peak"), ("peaky", "valley"),
    }  # fmt: skip


@pytest.mark.parametrize("position", ["peak", "valley"])
def test_a_row_is_what_a_loop_over_labels_finds(table: pd.DataFrame, position: str) -> None:
    """V = 12: the valley is label round(0.9 · 11) = 10; bystanders are 2 … 9 and 11, the poorer half 6, 7, 8, 9, 11."""
    rejected, best = {"peak": (0, 1), "valley": (10, 0)}[position]
    course = slow_course(list(5.0 * random_logits(4, 12, 3)[1]), rejected, 1.0, 2)
    chosen = (table["unit"] == "4-1") & (table["labels"] == 12) & (table["start"] == "peaky")
    rows = table[chosen & (table["position"] == position) & (table["step_size"] == 1.0)].sort_values("step")
    bystanders, poorer = [2, 3, 4, 5, 6, 7, 8, 9, 11], [6, 7, 8, 9, 11]
    for step, row in enumerate(rows.itertuples()):
        logps = course[step]
        assert row.logp_rejected == pytest.approx(logps[rejected], abs=1e-12)
        assert row.logp_greedy == pytest.approx(logps[best], abs=1e-12)
        assert row.others == pytest.approx(math.fsum(logps[i] for i in bystanders) / 9, abs=1e-12)
        assert row.poorer_half == pytest.approx(math.fsum(logps[i] for i in poorer) / 5, abs=1e-12)
        kept = [i for i in range(12) if i != rejected]
        if step:
            gains = [logps[i] - course[0][i] for i in kept]
            assert row.rank_correlation == pytest.approx(spearmanr([course[0][i] for i in kept], gains).statistic)


def test_nothing_is_ranked_at_the_start_and_in_the_uniform_softmax(table: pd.DataFrame) -> None:
    nothing = (table["step"] == 0) | (table["start"] == "uniform")
    assert table.loc[nothing, "rank_correlation"].isna().all()
    assert table.loc[~nothing, "rank_correlation"].notna().all()


def test_the_three_starts_differ_in_peakiness_alone() -> None:
    assert [condition.spread for condition in conditions(SMALL, 20)] == [0.0, 1.0, 1.0, 5.0, 5.0]
    drawn = random_logits(0, 50, 4)
    assert (np.diff(drawn, axis=1) <= 0).all()
    assert not np.allclose(drawn, random_logits(1, 50, 4))
    np.testing.assert_array_equal(drawn, random_logits(0, 50, 4))


def test_the_pictured_start_is_the_first_of_the_table(table: pd.DataFrame) -> None:
    pictured = distributions_table(SMALL, 4)
    assert len(pictured) == 5 * 12
    by_panel = pictured.groupby(["start", "position"])
    assert (by_panel["is_rejected"].sum() == 1).all()
    assert by_panel[["before", "after"]].agg(lambda logps: np.exp(logps).sum()).to_numpy() == pytest.approx(1)
    rows = table[
        (table["unit"] == "4-0") & (table["labels"] == 12) & (table["step_size"] == 1.0) & (table["step"] == 2)
    ]
    found = pictured[pictured["is_rejected"]].set_index(["start", "position"])["after"]
    pd.testing.assert_series_equal(found, rows.set_index(["start", "position"])["logp_rejected"], check_names=False)


@pytest.mark.parametrize("changes", [{"flat": 5.0}, {"step_sizes": (1.0, 0.5)}, {"step_sizes": (1.0, 1.0)}])
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ToyConfig(**changes)
