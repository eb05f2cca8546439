"""Win rates by epochs of preference training, in the shape of the paper's Table 1 and beside its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ldyn.answers.pairwise.statistics import wilson
from ldyn.records import StageInfo
from ldyn.report.chains import find_arms
from ldyn.report.dosages import dosage_words
from ldyn.report.sections.text import percent
from ldyn.report.wins import PAPER_QUESTIONS, PAPER_TABLE_1, moment_word, win_rates
from ldyn.store import Run

NO_VALUE = "–"


@dataclass(frozen=True, slots=True)
class WinCell:
    """rate with its interval; details: what stands behind it, one line each."""

    rate: str
    interval: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WinRow:
    """An arm, or the paper; ``about`` says how it was trained."""

    name: str
    about: str
    cells: Sequence[WinCell]


@dataclass(frozen=True, slots=True)
class WinTable:
    """Of one judge and split. ``columns``: the moments; ``n``: questions, or seeds."""

    judge: str
    split: str
    baseline: str
    n: int
    columns: Sequence[str]
    rows: Sequence[WinRow]


def win_tables(run: Run) -> list[WinTable]:
    """None where no answers of the run competed."""
    wins = run.tables.get("wins")
    if wins is None or wins.empty:
        return []
    return list(tables_of(win_rates(wins), run.stages, run.manifest["stages"]))


def tables_of(
    rates: pd.DataFrame, stages: Sequence[StageInfo], entries: Sequence[Mapping[str, Any]]
) -> Iterator[WinTable]:
    """One table for each judge and split. ``rates``: of one run, or over seeds; entries: the manifest's stages."""
    epochs = sorted(rates["epoch"].unique())
    extended = {arm.pairwise.name for arm in find_arms(stages) if arm.role == "extend"}
    for (judge, split), own in rates.groupby(["judge", "split"], sort=False):
        by_arm = {str(arm): frame.set_index("epoch") for arm, frame in own.groupby("arm", sort=False)}
        baseline = str(own["baseline"].iloc[0])
        rows = [
            WinRow(arm, dosage_words(arm, baseline, stages, entries), _cells(frame, epochs))
            for arm, frame in by_arm.items()
        ]
        if extended & set(by_arm):
            rows += [WinRow(name, "Qwen1.5-1.8B, HH", _paper_cells(of, epochs)) for name, of in PAPER_TABLE_1.items()]
        columns = [moment_word(epoch, rates) for epoch in epochs]
        yield WinTable(str(judge), str(split), baseline, int(own["n"].max()), columns, rows)


def _cells(frame: pd.DataFrame, epochs: Sequence[float]) -> list[WinCell]:
    return [_cell(frame.loc[[epoch]].iloc[0]) if epoch in frame.index else WinCell(NO_VALUE) for epoch in epochs]


def _cell(row: pd.Series) -> WinCell:
    if math.isnan(row["rate"]):
        return WinCell(NO_VALUE, details=(f"{row['unread']:.0f} unread",))
    shares = "–".join(f"{100 * row[name]:.0f}" for name in ("won", "tied", "lost"))
    details = [f"{shares} % won–tied–lost"]
    if not math.isnan(row["right_arm"]):
        details.append(f"right {percent(row['right_arm'])} against {percent(row['right_baseline'])}")
    details.append(f"length {row['characters_arm']:.0f} against {row['characters_baseline']:.0f}")
    if row["unread"]:
        details.append(f"{row['unread']:.0f} unread")
    over_seeds = f"± {row['high'] - row['rate']:.3f}" if "of_each" in row else ""
    return WinCell(f"{row['rate']:.3f}", over_seeds or f"[{row['low']:.3f}, {row['high']:.3f}]", tuple(details))


def _paper_cells(of_paper: Mapping[float, float], epochs: Sequence[float]) -> list[WinCell]:
    return [_paper_cell(of_paper[epoch]) if epoch in of_paper else WinCell(NO_VALUE) for epoch in epochs]


def _paper_cell(rate: float) -> WinCell:
    known = wilson([rate] * PAPER_QUESTIONS)  # which depends on the mean and their number alone
    return WinCell(f"{rate:.3f}", f"[{known.low:.3f}, {known.high:.3f}]")
