"""Win rates against epochs of preference training: every arm against the baseline, and how much was decided."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ldyn.report.figures.axes import write_ends
from ldyn.report.figures.labels import EndLabel
from ldyn.report.figures.layout import PanelSize, grid_cells, head_and_foot, lay_out
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import plain
from ldyn.report.wins import moment_word, win_rates

ARM_COLOURS = ("#6A2C91", "#B06A00", "#00728F", "#7A7A00")
"""None of the probes' colours: an arm is no response."""
MARKERS = "osD^"
MOST_ARMS = len(ARM_COLOURS)
SPLIT_WORDS = {"train": "training questions", "test": "unseen questions"}
_EVEN = 0.5
_DODGE = 0.09  # between the arms' points at one moment; moments are 1 apart


def wins_by_epoch(material: Material) -> Drawing | str:
    """The first judge's verdicts in one run."""
    rates = win_rates(material.tables["wins"])
    return draw_wins(rates[rates["judge"] == rates["judge"].iloc[0]], "questions")


def draw_wins(rates: pd.DataFrame, unit: str) -> Drawing | str:
    """``rates``: one judge's, of ``ldyn.report.wins``; unit: what the intervals are over, "questions" or "seeds"."""
    arms, splits = (list(dict.fromkeys(rates[name])) for name in ("arm", "split"))
    if len(arms) > MOST_ARMS:
        return f"it has room for {MOST_ARMS} arms and there are {len(arms)}; the table has them all"
    room = 0.3 + 0.075 * max(map(len, arms))
    canvas, panels = lay_out(grid_cells(2, len(splits)), PanelSize(3.0, 2.1, room))
    ends = {}
    for above, below, split in zip(panels, panels[len(splits) :], splits, strict=False):
        own = rates[rates["split"] == split]
        ends[above] = _rates_panel(above, own, arms, unit)
        _decided_panel(below, own, arms)
    _same_scale(panels[: len(splits)])
    _same_scale(panels[len(splits) :])
    baseline, judge = rates["baseline"].iloc[0], rates["judge"].iloc[0]
    title = plain(f"Whose answers win: against {baseline}, judged by {judge}")
    kind = (
        "Wilson intervals over questions" if unit == "questions" else "t-intervals over seeds (small marks: each seed)"
    )
    foot = f"Above: ties are half a win; bars: 95 % {kind}; moments are spaced evenly.\nBelow: the rest are ties."
    head_and_foot(canvas, title, foot)
    write_ends(canvas, ends)
    return Drawing(canvas, title, _caption(rates, kind), _alt(rates, arms))


def _rates_panel(axes: Axes, rates: pd.DataFrame, arms: Sequence[str], unit: str) -> list[EndLabel]:
    axes.axhline(_EVEN, color="#444444", linewidth=0.9, zorder=1)
    labels = []
    for number, arm in enumerate(arms):
        own, colour = rates[rates["arm"] == arm], ARM_COLOURS[number]
        places = _places(axes, rates, own) + (number - (len(arms) - 1) / 2) * _DODGE
        middle = own["rate"].to_numpy(float)
        half = [middle - own["low"].to_numpy(float), own["high"].to_numpy(float) - middle]
        half = np.maximum(np.nan_to_num(half), 0.0)  # Wilson's end of a rate of 1 may be 1 less a rounding error
        marker = MARKERS[number]
        axes.errorbar(places, middle, yerr=half, color=colour, marker=marker, markersize=4.5, linewidth=1.5, zorder=3)
        if "of_each" in own:
            for place, single in zip(places, own["of_each"], strict=True):
                axes.plot([place] * len(single), single, "_", color=colour, markersize=7, alpha=0.7, zorder=2)
        labels.append(EndLabel(plain(arm), float(places[-1]), float(middle[-1]), colour))
    split = str(rates["split"].iloc[0])
    words = SPLIT_WORDS.get(split, plain(f"{split} questions"))
    axes.set_title(f"{words} ({int(rates['n'].max())}{' seeds' if unit == 'seeds' else ''})")
    axes.set_ylabel("win rate (line: even)")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("epochs of preference training")
    return labels


def _decided_panel(axes: Axes, rates: pd.DataFrame, arms: Sequence[str]) -> None:
    """Won upwards, lost downwards, as shares of all questions."""
    axes.axhline(0, color="#444444", linewidth=0.9, zorder=1)
    width = min(0.3, 0.75 / len(arms))
    for number, arm in enumerate(arms):
        own = rates[rates["arm"] == arm]
        places = _places(axes, rates, own) + (number - (len(arms) - 1) / 2) * width * 1.08
        axes.bar(places, own["won"], width, color=ARM_COLOURS[number], zorder=2)
        axes.bar(places, -own["lost"], width, color=ARM_COLOURS[number], alpha=0.45, zorder=2)
    axes.set_ylabel("lost (pale) and won")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * abs(value):.0f}%")
    axes.set_xlabel("epochs of preference training")


def _places(axes: Axes, rates: pd.DataFrame, own: pd.DataFrame) -> np.ndarray:
    """Evenly spaced: the end is far from the moments of the paper's table, which would melt into one."""
    epochs = sorted(rates["epoch"].unique())
    axes.set_xticks(range(len(epochs)), [moment_word(epoch, rates) for epoch in epochs])
    axes.set_xlim(-0.6, len(epochs) - 0.4)
    return np.array([epochs.index(epoch) for epoch in own["epoch"]], float)


def _same_scale(panels: Sequence[Axes]) -> None:
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(low, high)


def _caption(rates: pd.DataFrame, kind: str) -> str:
    tied = rates["tied"].mean()
    return (
        "Greedy answers of both arms to the same question after equally many epochs of preference training, judged in "
        f"both orders; a tie is half a win. Bars: 95 % {kind}. On the average {tied:.0%} of the contests are ties, "
        "which pull every rate towards one half."
    )


def _alt(rates: pd.DataFrame, arms: Sequence[str]) -> str:
    words = []
    for (arm, split), own in rates.groupby(["arm", "split"], sort=False):
        course = ", ".join(
            f"{rate:.2f} after {epoch:.3g}" for epoch, rate in zip(own["epoch"], own["rate"], strict=True)
        )
        words.append(f"{arm} on {split} questions {course} epochs")
    return f"Line charts of win rates of {len(arms)} arms, with bars of won and lost shares. {'; '.join(words)}."
