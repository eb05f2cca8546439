"""A claim is decided by the experiment declared for it, whatever look-alikes are there too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ldyn.findings import CLAIMS, findings_over_seeds
from ldyn.findings.sources import ORDER, SOURCES
from ldyn.findings.together import by_experiment, judge_together
from ldyn.records import FAILS, HOLDS
from ldyn.store import Run

Series = Callable[[str, float], list[Run]]


@pytest.fixture
def series(build: Any, run_of: Any, four_stages: Any) -> Series:
    """Three runs in whose SFT y⁺ changes by about the given number, and the rephrase rises and falls by it."""
    sft = four_stages[0]

    def runs(part: str, change: float) -> list[Run]:
        made = []
        for seed in range(3):
            rows = build(stages=(sft,), examples=10, spread=0.1 + seed / 100 + abs(change) / 1000)
            rows.add(sft, "chosen", [-50, -50 + change / 2, -50 + change * (1 + seed / 100)])
            rows.add(sft, "chosen_gptsemantic", [-50, -50 + change, -50 + seed / 100])
            run = run_of(seed, rows.table, (sft,))
            manifest = {**run.manifest, "name": part}
            made.append(replace(run, path=Path(f"{part}-{seed}"), manifest=manifest))
        return made

    return runs


def test_every_claim_has_a_source_that_is_known() -> None:
    assert set(SOURCES) == set(CLAIMS)
    assert {name for names in SOURCES.values() for name in names} - set(ORDER) == {"depth series"}


def test_look_alikes_change_no_verdict(series: Series) -> None:
    main = series("dpo_squeeze", 10)
    others = {part: series(part, -20) for part in ("decompose", "depth_1_4", "dpo_squeeze_nested", "extend_wins")}
    alone = {one.id: one for one in findings_over_seeds({"dpo_squeeze": main})}
    among = {one.id: one for one in findings_over_seeds({**others, "dpo_squeeze": main, "mine": series("mine", -5)})}
    assert (among["S1"].source, among["S1"].verdict) == ("dpo_squeeze", HOLDS)
    assert among == alone


def test_s2_has_runs_of_its_own_where_they_exist(series: Series) -> None:
    groups = {"dpo_squeeze": series("dpo_squeeze", -10), "dpo_squeeze_log": series("dpo_squeeze_log", 8)}
    found = {one.id: one for one in findings_over_seeds(groups)}
    assert (found["S1"].source, found["S1"].verdict) == ("dpo_squeeze", FAILS)
    assert (found["S2"].source, found["S2"].verdict) == ("dpo_squeeze_log", HOLDS)
    tables = judge_together(Path("tiny"), [*groups["dpo_squeeze_log"], *groups["dpo_squeeze"]])
    assert [(one.setting, [own.id for own in one.findings]) for one in tables] == [
        ("dpo_squeeze", ["S1"]),
        ("dpo_squeeze_log", ["S2"]),
    ]


def test_an_experiment_that_stands_in_and_the_users_own(series: Series) -> None:
    groups = {"mitigations": series("mitigations", 1), "decompose": series("decompose", 9)}
    assert {one.id: one.source for one in findings_over_seeds(groups)} == {"S1": "decompose", "S2": "decompose"}
    groups = {"mitigations": series("mitigations", 1), "mine": series("mine", 9)}
    assert {one.id: one.source for one in findings_over_seeds(groups)} == {"S1": "mine", "S2": "mine"}


def test_experiments_stand_in_the_order_of_a_page(series: Series) -> None:
    runs = [*series("mine", 1), *series("extend_wins", 1), *series("dpo_squeeze_log", 1)]
    assert list(by_experiment(runs)) == ["dpo_squeeze_log", "extend_wins", "mine"]
