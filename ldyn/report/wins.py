"""Win rates of the arms: of one run over its questions, or of several runs over their seeds.

From the table ``wins`` of a run (columns: ``ldyn.answers.win_table``). A tie is half a win. Of one run the
interval is Wilson's over questions, too wide rather than too narrow with ties; over seeds it is Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ldyn.answers.win_rates import wilson
from ldyn.numerics.statistics import t_half_width
from ldyn.records import StageInfo
from ldyn.report.stages import dosage_words, find_arms
from ldyn.report.text import percent
from ldyn.store import Run

KEYS = ["judge", "arm", "baseline", "split", "epoch"]
PAPER_TABLE_1: Mapping[str, Mapping[float, float]] = {
    "paper, by ChatGPT": {0: 0.4729, 2: 0.6518, 4: 0.6928, 6: 0.6667},
    "paper, by Claude 3": {0: 0.4679, 2: 0.5151, 4: 0.6045, 6: 0.5432},
}
"""Win rate of extend over the baseline by epochs of DPO: Qwen1.5-1.8B, Anthropic HH."""
PAPER_QUESTIONS = 500
"""About so many answers stand behind each of these."""


def win_rates(wins: pd.DataFrame) -> pd.DataFrame:
    """One row for each judge, arm, split and epoch, in the order of the table.

    Columns: KEYS; rate, low, high, n (questions judged); won, tied, lost: shares of these; unread: how many verdicts
    could not be read; characters_arm, characters_baseline, right_arm, right_baseline: means (NaN where not known).
    """
    rows = [{**dict(zip(KEYS, key, strict=True)), **_rate(frame)} for key, frame in wins.groupby(KEYS, sort=False)]
    return pd.DataFrame(rows)


def _rate(frame: pd.DataFrame) -> dict[str, float]:
    won = frame["won"].dropna()
    rate = wilson(won.tolist())
    shares = {name: float((won == value).mean()) for name, value in (("won", 1.0), ("tied", 0.5), ("lost", 0.0))}
    sides = [f"{name}_{side}" for name in ("characters", "right") for side in ("arm", "baseline")]
    means = {name: float(frame[name].mean()) for name in sides}
    unread = int(frame["won"].isna().sum())
    return {"rate": rate.value, "low": rate.low, "high": rate.high, "n": rate.n, **shares, "unread": unread, **means}


def rates_over_seeds(runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The same columns from the ``wins`` of several runs: means over runs, n their number, intervals over them.

    ``of_each`` has the rates of the single runs. Fewer than two runs have no interval (NaN).
    """
    every = pd.concat([win_rates(wins).assign(run=name) for name, wins in runs.items()], ignore_index=True)
    groups = every.groupby(KEYS, sort=False)
    means = groups[[name for name in every.columns if name not in (*KEYS, "run")]].mean()
    n = groups["rate"].count()
    half = t_half_width(groups["rate"].std(ddof=1), n)
    means["low"], means["high"], means["n"] = means["rate"] - half, means["rate"] + half, n
    means["of_each"] = groups["rate"].agg(list)
    return means.reset_index()


def epoch_text(epoch: float, rates: pd.DataFrame) -> str:
    """The number of epochs, the last one marked as the end."""
    return f"{epoch:.3g}" + (" (end)" if epoch == rates["epoch"].max() else "")


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
    """Of one judge and split. ``columns``: the epochs; ``n``: questions, or seeds."""

    judge: str
    split: str
    baseline: str
    n: int
    columns: Sequence[str]
    rows: Sequence[WinRow]


def win_tables(run: Run) -> list[WinTable]:
    """Empty where the run has no win rates."""
    wins = run.tables.get("wins")
    if wins is None or wins.empty:
        return []
    return list(win_table_rows(win_rates(wins), run.stages, run.manifest["stages"]))


def win_table_rows(
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
        columns = [epoch_text(epoch, rates) for epoch in epochs]
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
