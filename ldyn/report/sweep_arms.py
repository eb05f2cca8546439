"""The arms of a sweep's runs, for each combination of the swept values: one figure, one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import pandas as pd

from ldyn.findings.arms import arms_of
from ldyn.report.arms import QUANTITIES, arm_changes, summarise_arms
from ldyn.report.facets import Facet
from ldyn.report.figures.arms import draw_arms
from ldyn.report.figures.gallery import write_drawing
from ldyn.report.style import FIGURE_RC
from ldyn.store import Run

FIGURE_FILE = "arms.png"
_HEADINGS = ("y⁺", "y⁻", "others", "greedy mass", "margin y⁺ − y⁻")


def arms_lines(facets: Sequence[Facet], directory: Path) -> list[str]:
    """The section of the page, after drawing ``arms.png`` in ``directory``; empty where there are no arms to
    compare.
    """
    over_seeds = any(len(facet.runs) > 1 for facet in facets)
    summary = _by_arm([_summary(facet, over_seeds=over_seeds) for facet in facets])
    if summary.empty:
        return []
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(FIGURE_RC)  # type: ignore[arg-type]  # stubs list every key
        write_drawing(draw_arms(summary, "seeds" if over_seeds else "probe examples"), directory / FIGURE_FILE)
    answers = pd.concat([_answers(facet.runs).rename(index=_row_name(facet)) for facet in facets])
    return ["", "## Arms", "", f"![arms]({FIGURE_FILE})", "", *_table(summary, answers), "", _note(facets)]


def _summary(facet: Facet, *, over_seeds: bool) -> pd.DataFrame:
    """``summarise_arms`` of the facet's runs, with the swept values in the name of each arm."""
    changes = {str(run.manifest["seed"]): arm_changes(run.trajectories, run.stages) for run in facet.runs}
    if not all(len(frame) for frame in changes.values()):
        return pd.DataFrame()
    summary = summarise_arms(changes, over_runs=over_seeds)
    return summary.assign(of=summary["arm"], arm=summary["arm"].map(_row_name(facet)))


def _row_name(facet: Facet) -> Callable[[str], str]:
    return lambda arm: f"{arm}, {facet.name}" if facet.name else arm


def _by_arm(summaries: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Below each other what one arm did with each of the swept values."""
    whole = pd.concat(summaries, ignore_index=True)
    if whole.empty:
        return whole
    order = {arm: place for place, arm in enumerate(dict.fromkeys(whole["of"]))}
    return whole.sort_values("of", key=lambda arms: arms.map(order), kind="stable", ignore_index=True)


def _table(summary: pd.DataFrame, answers: pd.DataFrame) -> list[str]:
    """Changes of each arm, and what its last weights answer greedily to the prompts of samples.jsonl."""
    words = [name for name in ("repeated 4-grams", "right facts", "stops") if name in answers]
    lines = [f"| arm | {' | '.join([*_HEADINGS, *words])} |", "|---" * (len(_HEADINGS) + len(words) + 1) + "|"]
    by_arm = summary.set_index(["arm", "quantity"])
    for arm in dict.fromkeys(summary["arm"]):
        rows = [by_arm.loc[(arm, quantity)] for quantity in QUANTITIES]
        cells = [_with_half(row) for row in rows]
        cells += [f"{answers.loc[arm, name]:.1%}" for name in words]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return lines


def _with_half(row: pd.Series) -> str:
    return f"{row['mean']:+.2f}" + (f" ± {row['half']:.2f}" if pd.notna(row["half"]) else "")


def _note(facets: Sequence[Facet]) -> str:
    counts = sorted({len(facet.runs) for facet in facets})
    change = "Change of log π in nats"
    if counts == [1]:
        return f"{change}, mean over the probe examples of one run ± half of the 95 % t-interval over them."
    seeds = " to ".join(map(str, [counts[0], counts[-1]][: len(counts)]))
    means = f"mean over {seeds} seeds ± half of the 95 % t-interval over them"
    return f"{change}, {means}; shares of greedy answers, mean over the seeds."


def _answers(runs: Sequence[Run]) -> pd.DataFrame:
    """Arm × shares of the greedy answers of its last round, mean over answers and runs."""
    frames = []
    for run in runs:
        last = {arm.last.name: arm.name for arm in arms_of(run.stages)}
        rows = pd.DataFrame([row for row in run.samples if row["mode"] == "greedy" and row["stage"] in last])
        if len(rows):
            frames.append(rows.assign(arm=rows["stage"].map(last)))
    if not frames:
        return pd.DataFrame()
    rows = pd.concat(frames)
    columns = {"repeated_4grams": "repeated 4-grams", "is_right": "right facts", "stopped": "stops"}
    known = {name: words for name, words in columns.items() if rows[name].notna().all()}
    return rows.astype(dict.fromkeys(known, float)).groupby("arm")[list(known)].mean().rename(columns=known)
