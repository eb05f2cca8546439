"""The curves against slow and obvious statistics, example by example."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ldyn.records import MEAN_EXAMPLE
from ldyn.report.curves import summarise

from .selecting import select


@pytest.fixture
def table(synthetic: Any) -> pd.DataFrame:
    return synthetic.trajectories(synthetic.squeeze, ("chosen", "rejected"), n_examples=7, evaluations=3)


def values_at(table: pd.DataFrame, stage: str, step: int, column: str, probe: str = "chosen") -> dict[str, float]:
    rows = table[(table.stage == stage) & (table.step == step) & (table.probe == probe) & (table.split == "train")]
    return dict(zip(rows.example_id, rows[column], strict=True))


def test_level_is_the_mean_with_its_t_interval(table: pd.DataFrame) -> None:
    values = list(values_at(table, "push", 20, "entropy").values())
    row = select(summarise(table), "push", "chosen", "entropy").iloc[-1]
    assert row.level == pytest.approx(statistics.fmean(values), abs=1e-12)
    assert row.level_half == pytest.approx(2.4469 * statistics.stdev(values) / math.sqrt(7), rel=1e-4)
    assert row.level_n == 7


def test_change_is_paired_with_the_stages_first_evaluation(table: pd.DataFrame) -> None:
    first, last = (values_at(table, "push", step, "logp") for step in (0, 20))
    differences = [last[example] - first[example] for example in first]
    row = select(summarise(table), "push", "chosen").iloc[-1]
    assert row.change == pytest.approx(statistics.fmean(differences), abs=1e-9)
    assert row.change_half == pytest.approx(2.4469 * statistics.stdev(differences) / math.sqrt(7), rel=1e-4)


def test_an_example_without_a_first_value_counts_for_the_level_only(table: pd.DataFrame) -> None:
    gone = (table.stage == "push") & (table.step == 0) & (table.example_id == "train-3")
    row = select(summarise(table[~gone]), "push", "chosen").iloc[-1]
    assert (row.level_n, row.change_n) == (7, 6)


def test_values_that_are_not_finite_are_left_out(table: pd.DataFrame) -> None:
    table.loc[(table.step == 20) & (table.example_id == "train-0"), "logp"] = -math.inf
    row = select(summarise(table), "push", "chosen").iloc[-1]
    assert row.level_n == 6
    assert math.isfinite(row.level)


def test_the_greedy_curve_is_the_argmax_along_chosen(table: pd.DataFrame) -> None:
    curves = summarise(table)
    greedy = select(curves, "push", "greedy").level.tolist()
    assert greedy == select(curves, "push", "chosen", "logp_argmax").level.tolist()
    per_token = values_at(table, "push", 0, "logp_argmax")
    tokens = values_at(table, "push", 0, "n_tokens")
    expected = statistics.fmean(per_token[example] / tokens[example] for example in tokens)
    assert select(curves, "push", "greedy", "logp_per_token").level.iloc[0] == pytest.approx(expected)


def test_a_mean_over_unknown_examples_counts_none(synthetic: Any) -> None:
    rows = synthetic.trajectories(synthetic.squeeze, n_examples=1, evaluations=3).assign(example_id=MEAN_EXAMPLE)
    curves = summarise(rows)
    assert set(curves["level_n"]) == set(curves["change_n"]) == {0}
    assert curves["level"].notna().all()
    assert curves["level_half"].isna().all()


def test_what_was_not_measured_in_a_stage_has_no_rows(synthetic: Any) -> None:
    rows = synthetic.trajectories(synthetic.squeeze, n_examples=3, evaluations=3)
    in_push = rows["stage"] == "push"
    rows.loc[in_push, ["logp_argmax", "entropy"]] = np.nan
    rows.loc[in_push & (rows["step"] == 10), "p_label"] = np.nan
    curves = summarise(rows)
    push = curves[curves["stage"] == "push"]
    assert not {"logp_argmax", "entropy"} & set(push["quantity"])
    assert "greedy" not in set(push["probe"])
    assert {"logp_argmax", "entropy"} <= set(curves[curves["stage"] == "warm"]["quantity"])
    assert select(curves, "push", "chosen", "p_label")["level_n"].tolist() == [3, 0, 3]  # here and there: a gap
