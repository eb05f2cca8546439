"""E3 by tables made by hand: who decides, what fails, what stays open, and that ties alone say nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from ldyn.findings import find_all
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE

Counts = tuple[int, int, int]  # won, tied, lost


def contests(
    arm: str, by_epoch: dict[float, Counts], split: str = "test", judge: str = "oracle", baseline: str = "dpo"
) -> pd.DataFrame:
    frames = []
    for epoch, counts in by_epoch.items():
        won = [value for value, count in zip((1.0, 0.5, 0.0), counts, strict=True) for _ in range(count)]
        ids = [f"{split}-{number}" for number in range(len(won))]
        frames.append(pd.DataFrame({"epoch": epoch, "example_id": ids, "won": won}))
    return pd.concat(frames).assign(judge=judge, arm=arm, baseline=baseline, split=split)


@pytest.fixture
def found(build: Any, four_stages: Any) -> Any:
    """``found(table, ...)``: the finding E3 of a run with these tables of contests; None where there is none."""
    sft, dpo, extend, dpo_extend = four_stages
    longer, dpo_longer = replace(extend, name="longer"), replace(dpo_extend, name="dpo_longer", start="longer")
    stages = (longer, dpo_longer, sft, dpo, extend, dpo_extend)
    run = build(stages=stages)
    for stage in stages:
        run.add(stage, "chosen", [-30, -20, -10, -9, -8] if stage is longer else [-30, -20, -10])

    def finding(*tables: pd.DataFrame, **changes: Any) -> Any:
        of_wins = {"wins": pd.concat(tables, ignore_index=True)} if tables else {}
        findings = find_all(run.table, stages, changes.get("planned"), of_wins)
        return next((one for one in findings if one.id == "E3"), None)

    return finding


WON, EVEN, LOST = (60, 120, 20), (30, 140, 30), (20, 120, 60)
PAPER = (2.0, 4.0, 6.0)


def course(before: Counts, within: Counts, end: Counts) -> dict[float, Counts]:
    return {0.0: before, **dict.fromkeys(PAPER, within), 26.7: end}


@pytest.mark.parametrize(
    ("within", "end", "verdict", "estimate"),
    [
        (WON, WON, HOLDS, 0.6),
        (WON, EVEN, INCONCLUSIVE, 0.6),  # won at first and lost again is no win
        (EVEN, WON, INCONCLUSIVE, 0.5),  # the end alone, past the paper's table, is not enough
        (WON, LOST, FAILS, 0.6),
        (LOST, WON, FAILS, 0.4),
    ],
)
def test_it_must_win_in_the_paper_s_range_and_at_the_end(
    found: Any, within: Counts, end: Counts, verdict: str, estimate: float
) -> None:
    finding = found(contests("dpo_both", course(LOST, within, end)))
    assert finding.verdict == verdict
    assert finding.estimate == pytest.approx(estimate)
    assert finding.n == 200
    assert "20–120–60, " in finding.reason  # before DPO: told, and of no weight


def test_ties_alone_leave_it_open_and_are_named(found: Any) -> None:
    finding = found(contests("dpo_both", course((0, 200, 0), (7, 193, 0), (0, 200, 0))))
    assert finding.verdict == INCONCLUSIVE
    assert "Inconclusive because after 2, 4, 6 epochs, their mean only 7 of 200 questions are decided" in finding.reason
    assert "at the end, after 26.7 epochs only 0 of 200 questions are decided" in finding.reason
    one_more = found(contests("dpo_both", course((0, 200, 0), (8, 192, 0), (8, 192, 0))))
    assert one_more.verdict == HOLDS


def test_unseen_questions_decide_and_training_questions_are_told(found: Any) -> None:
    unseen, trained = course(EVEN, WON, WON), course(EVEN, LOST, LOST)
    finding = found(contests("dpo_both", unseen), contests("dpo_both", trained, split="train"))
    assert finding.verdict == HOLDS
    assert "on train questions after 0, 2, 4, 6, 26.7 epochs" in finding.reason
    assert found(contests("dpo_both", trained, split="train")).verdict == FAILS


def test_the_arm_of_as_many_updates_decides_and_the_other_may_unsettle(found: Any) -> None:
    main = contests("dpo_both", course(EVEN, WON, WON))
    beside = found(main, contests("dpo_longer", course(EVEN, EVEN, EVEN)))
    assert beside.verdict == HOLDS
    assert "Control longer" in beside.reason
    contrary = found(main, contests("dpo_longer", course(EVEN, LOST, LOST)))
    assert contrary.verdict == INCONCLUSIVE
    assert "contradict each other" in contrary.reason
    assert found(contests("dpo_longer", course(EVEN, WON, WON))) is None  # a control stands in for nobody


def test_the_first_judge_decides_and_another_is_told(found: Any) -> None:
    first = contests("dpo_both", course(EVEN, WON, WON))
    finding = found(first, contests("dpo_both", course(EVEN, LOST, LOST), judge="api"))
    assert finding.verdict == HOLDS
    assert "by api the win rate on test questions is 0.500 after 0, 0.400 after 2" in finding.reason


def test_a_verdict_that_could_not_be_read_is_no_contest(found: Any) -> None:
    table = contests("dpo_both", course(EVEN, WON, WON))
    table.loc[table["example_id"] == "test-0", "won"] = float("nan")  # one that was won everywhere
    finding = found(table)
    assert finding.n == 199
    assert finding.estimate == pytest.approx((59 + 60) / 199)


def test_where_dpo_ends_with_the_paper_s_table_its_last_column_is_the_end(found: Any) -> None:
    finding = found(contests("dpo_both", {0.0: EVEN, 2.0: WON, 4.0: WON, 6.0: EVEN}))
    assert finding.verdict == INCONCLUSIVE
    assert "at the end, after 6 epochs" in finding.reason
    assert found(contests("dpo_both", {0.0: EVEN})) is None  # nothing after the start


def test_without_contests_or_before_the_end_nothing_is_settled(found: Any) -> None:
    assert found() is None
    short = found(contests("dpo_both", course(EVEN, WON, WON)), planned={"dpo_both": 400})
    assert short.verdict == INCONCLUSIVE
    assert "stage dpo_both stopped at step 20 of 400" in short.reason
