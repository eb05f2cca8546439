"""A row without numbers (a logit was not finite) takes its example out of what it would enter, and nothing else."""

from __future__ import annotations

import math
from dataclasses import astuple
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ldyn.findings import find_all
from ldyn.records import HOLDS, INCONCLUSIVE, Finding, StageInfo
from ldyn.store.schema import MEASURES

FALLING, RISING = [-10.0, -12.0, -15.0], [-15.0, -12.0, -9.0]


@pytest.fixture
def run(build: type, four_stages: tuple[StageInfo, ...]) -> Any:
    """SFT and DPO with every probe that a claim speaks of."""
    sft, dpo, *_ = four_stages
    made = build()
    for probe in ("chosen", "irr_train"):
        made.add(sft, probe, RISING)
    for probe in ("chosen_gptsemantic", "rejected"):
        made.add(sft, probe, [-15.0, -9.0, -13.0])
    for probe in ("irr_test", "irr_hum", "random_permute", "random_nonhum"):
        made.add(sft, probe, FALLING)
    made.add(dpo, "chosen", FALLING, logp_argmax=[-6.0, -5.0, -4.0], log_mass_rest=FALLING)
    made.add(dpo, "rejected", [-10.0, -20.0, -40.0])
    made.add(dpo, "reject_gptsemantic", [-10.0, -16.0, -30.0])
    return made


def emptied(table: pd.DataFrame, rows: pd.Series) -> pd.DataFrame:
    changed = table.copy()
    changed.loc[rows, list(MEASURES)] = np.nan
    return changed


def same(found: list[Finding], expected: list[Finding]) -> bool:
    def plain(finding: Finding) -> list[Any]:
        return [None if isinstance(value, float) and math.isnan(value) else value for value in astuple(finding)]

    return [plain(one) for one in found] == [plain(one) for one in expected]


def test_an_example_without_numbers_counts_as_one_that_is_not_there(run: Any) -> None:
    lost = run.table["example_id"].isin(["q3", "q17"])
    found = find_all(emptied(run.table, lost), run.stages)
    assert len(found) >= 9
    assert {finding.n for finding in found} == {38}
    assert same(found, find_all(run.table[~lost], run.stages))
    assert not same(found, find_all(run.table, run.stages))


@pytest.mark.parametrize("step", [0, 10, 20])
def test_one_row_touches_the_claims_on_its_probe_and_stage_only(run: Any, step: int) -> None:
    table = run.table
    row = (table["stage"] == "sft") & (table["probe"] == "irr_train") & (table["example_id"] == "q5")
    whole = {finding.id: finding for finding in find_all(table, run.stages)}
    found = {finding.id: finding for finding in find_all(emptied(table, row & (table["step"] == step)), run.stages)}
    assert found.keys() == whole.keys()
    assert {name for name in whole if not same([found[name]], [whole[name]])} == {"S4"}
    assert found["S4"].verdict == whole["S4"].verdict == HOLDS


def test_a_moment_without_any_number_decides_nothing(run: Any) -> None:
    table = run.table
    last = (table["stage"] == "dpo") & (table["step"] == 20)
    found = {finding.id: finding for finding in find_all(emptied(table, last), run.stages)}
    for name in ("D1", "D2", "D3"):
        assert found[name].verdict == INCONCLUSIVE
    assert found["S1"].verdict == HOLDS
