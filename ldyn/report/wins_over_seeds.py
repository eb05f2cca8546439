"""Whose answers win over the runs of several seeds: a table in Markdown and a figure, beside the runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ldyn.report.figures.gallery import figure_settings, write_drawing
from ldyn.report.figures.wins import draw_wins
from ldyn.report.sections.wins import WinCell, WinTable, tables_of
from ldyn.report.wins import rates_over_seeds
from ldyn.store import Run

FIGURE_FILE = "wins.png"


def wins_over_seeds(runs: Sequence[Run], directory: Path) -> list[str]:
    """Lines of a page; the figure is written into ``directory``. Nothing where a run let no answers compete."""
    tables = {run.path.name: run.tables["wins"] for run in runs if "wins" in run.tables}
    if len(tables) < len(runs):
        return []
    rates = rates_over_seeds(tables)
    lines = ["", "## Whose answers win", ""]
    with figure_settings():
        drawing = draw_wins(rates[rates["judge"] == rates["judge"].iloc[0]], "seeds")
        if not isinstance(drawing, str):
            write_drawing(drawing, directory / FIGURE_FILE)
            lines += [f"![win rates]({FIGURE_FILE})", ""]
    for table in tables_of(rates, runs[0].stages, runs[0].manifest["stages"]):
        lines += _table(table)
    note = "Win rate by epochs of preference training: mean over the seeds ± half of the 95 % t-interval over them"
    return [*lines, f"{note}; in brackets won–tied–lost. Of the paper the interval over about 500 answers (Wilson)."]


def _table(table: WinTable) -> Iterator[str]:
    yield f"Against {table.baseline} on {table.split} questions, judged by {table.judge}, {table.n} seeds:"
    yield ""
    yield f"| arm | {' | '.join(table.columns)} |"
    yield "|---" * (len(table.columns) + 1) + "|"
    for row in table.rows:
        name = f"{row.name} ({row.about})" if row.about else row.name
        yield f"| {name} | {' | '.join(map(_cell, row.cells))} |"
    yield ""


def _cell(cell: WinCell) -> str:
    shares = f" ({cell.details[0].removesuffix(' won–tied–lost')})" if cell.details else ""
    return f"{cell.rate} {cell.interval}{shares}".rstrip()
