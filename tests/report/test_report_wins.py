"""Win rates: the numbers by hand, the table, over seeds, and what is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from ldyn.report import build_report, compare_sweep
from ldyn.report.wins import rates_over_seeds, win_rates, win_tables
from ldyn.store.schema import METADATA, to_bytes


def wins(won: dict[float, list[float]], arm: str = "push_wide", split: str = "test") -> pd.DataFrame:
    """Contests by epoch; the arm's answers have 10 characters and half of them are right, the baseline's 12, all."""
    frames = [pd.DataFrame({"epoch": epoch, "won": of_epoch}) for epoch, of_epoch in won.items()]
    table = pd.concat(frames, ignore_index=True).assign(judge="oracle", arm=arm, baseline="push", split=split)
    table["example_id"] = [f"q{number}" for number in range(len(table))]
    table["right_arm"] = [float(number % 2 == 0) for number in range(len(table))]
    return table.assign(right_baseline=1.0, characters_arm=10.0, characters_baseline=12.0, orders_disagree=False)


def test_rates_by_hand():
    row = win_rates(wins({2.0: [1.0, 1.0, 0.5, 0.0], 4.0: [float("nan"), 0.0]})).set_index("epoch")
    assert row.loc[2.0, ["rate", "won", "tied", "lost", "n", "unread"]].tolist() == [0.625, 0.5, 0.25, 0.25, 4, 0]
    # Wilson, n = 4, p = 0.625, z² = 3.8415: (0.625 + 0.48018 ± 1.95996 √(0.058594 + 0.060023)) / 1.96037
    assert row.loc[2.0, "low"] == pytest.approx((1.105182 - 1.95996 * 0.344408) / 1.960365, abs=1e-4)
    assert row.loc[2.0, "high"] == pytest.approx((1.105182 + 1.95996 * 0.344408) / 1.960365, abs=1e-4)
    assert row.loc[4.0, ["rate", "n", "unread"]].tolist() == [0.0, 1, 1]


def test_over_seeds_the_interval_is_over_the_runs_rates():
    runs = {str(seed): wins({2.0: [1.0] * seed + [0.0] * (10 - seed)}) for seed in (4, 5, 6)}
    row = rates_over_seeds(runs).iloc[0]
    assert (row["rate"], row["n"], row["of_each"]) == (pytest.approx(0.5), 3, [0.4, 0.5, 0.6])
    assert row["high"] - row["rate"] == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)


def test_the_table_has_an_arm_a_row():
    rates = win_rates(wins({0.0: [0.5], 2.0: [1.0, 0.0], 26.667: [1.0]}))
    (table,) = win_tables(rates)
    assert table.head == ["arm", "0", "2", "26.7 (end)"]
    assert table.title == "Win rate over push on test questions, judged by oracle; 2 questions"
    assert (table.rows[0][0], table.rows[0][2]) == ("push_wide", "0.500 [0.095, 0.905] (50–0–50 %)")  # Wilson, n = 2


def write_wins(synthetic: Any, directory: Path, rate: int, **manifest: Any) -> Path:
    """A run with both arms and contests on two splits; ``rate`` of 10 are won at the end."""
    small = synthetic.trajectories(synthetic.extend, ("chosen", "rejected"), 3, 2, ("train",), manifest.get("seed", 0))
    run = synthetic.write(directory, synthetic.extend, trajectories=small)
    if manifest:
        stored = json.loads((run / "manifest.json").read_text())
        (run / "manifest.json").write_text(json.dumps({**stored, **manifest}))
    course = {0.0: [0.5] * 10, 2.0: [1.0, *[0.5] * 9], 26.7: [1.0] * rate + [0.5] * (10 - rate)}
    both = pa.Table.from_pandas(pd.concat([wins(course), wins(course, split="train")]), preserve_index=False)
    (run / "wins.parquet").write_bytes(to_bytes(both.replace_schema_metadata(METADATA)))
    return run


def test_the_page_shows_them_and_a_page_without_contests_does_not(
    synthetic: Any, tmp_path: Path, extend_report: Path
) -> None:
    report = build_report(write_wins(synthetic, tmp_path / "run", 3))
    page = report.read_text(encoding="utf-8")
    assert '<a href="#wins">' in page
    assert page.count("<caption>Win rate over push on test questions, judged by oracle; 10 questions") == 1
    assert ">0.650 [0." in page
    assert 'id="wins"' not in extend_report.read_text(encoding="utf-8")


def test_a_sweep_shows_them_over_seeds(synthetic: Any, tmp_path: Path) -> None:
    for seed in range(3):
        write_wins(synthetic, tmp_path / str(seed), 2 * seed, seed=seed)
    compare_sweep(tmp_path)
    page = (tmp_path / "comparison.md").read_text()
    assert "Win rate over push on test questions, judged by oracle; 3 seeds:" in page
    # wins of 0, 2 and 4 in 10, the rest ties: .5, .6, .7; 4.303 · 0.1 / √3
    assert "| 0.500 ± 0.000 (0–100–0 %) | 0.550 ± 0.000 (10–90–0 %) | 0.600 ± 0.248 (20–80–0 %) |" in page
    (tmp_path / "1" / "wins.parquet").unlink()
    compare_sweep(tmp_path)
    assert "## Win rates" not in (tmp_path / "comparison.md").read_text()
