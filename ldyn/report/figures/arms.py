"""All arms side by side, of one run or over seeds: changes of log π, and win rates by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ldyn.report.arms import OTHERS, SAMPLED, summarise_arms
from ldyn.report.figures.canvas import finish, lay_out, name_lines
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import GREEDY, curve_style, plain
from ldyn.report.wins import epoch_text, win_rates

_COLOURS = dict.fromkeys((OTHERS, *SAMPLED), "#6B6B6B")
_PANELS = {
    "chosen": "chosen y⁺",
    "rejected": "rejected y⁻",
    OTHERS: "all other responses",
    GREEDY: "greedy mass along y⁺",
    **{name: f"{name} of sampled answers" for name in SAMPLED},
}
_UNITS = dict.fromkeys(SAMPLED[:2], "change (share)") | {SAMPLED[2]: "change (nats per token)"}


def arms_side_by_side(material: Material) -> Drawing | str:
    """One row for each arm; drawn for an experiment with at least three (two have figures of their own)."""
    if material.arms["arm"].nunique() < 3:
        return "it needs at least three arms, that is stages with pairs or rewards that start from an SFT"
    return draw_arms(summarise_arms({"this run": material.arms}), "probe examples")


def draw_arms(summary: pd.DataFrame, unit: str) -> Drawing:
    """``summary``: of ``summarise_arms``; unit: what the intervals are over, "probe examples" or "seeds"."""
    arms = list(dict.fromkeys(summary["arm"]))
    panels = [name for name in _PANELS if name in set(summary["quantity"])]
    canvas, axes = lay_out(1, len(panels), 2.1, 0.26 * (len(arms) + 1), 0.0, sharey=True)
    for panel, quantity in zip(axes, panels, strict=True):
        _draw_panel(panel, summary[summary["quantity"] == quantity].set_index("arm").loc[arms], quantity)
    axes[0].set_yticks(range(len(arms)), arms)
    fewest, most = int(summary["n"].min()), int(summary["n"].max())
    n = str(most) if fewest == most else f"{fewest} to {most}"
    foot = f"Dots: mean over {n} {unit}; bars: 95 % t-intervals over them."
    if unit == "seeds":
        foot += " Small marks: the mean of each seed."
    title = "What each arm did: change from the end of SFT to the end of the arm"
    return finish(canvas, title, foot, "Change of log π (nats) over each arm, paired by example.")


def _draw_panel(axes: Axes, rows: pd.DataFrame, quantity: str) -> None:
    colour = _COLOURS.get(quantity) or curve_style(quantity).colour
    places = np.arange(len(rows))
    zero = axes.axvline(0, color="#444444", linewidth=0.9)
    zero.set_zorder(1)
    half = rows["half"].fillna(0.0).to_numpy(float)
    axes.errorbar(rows["mean"], places, xerr=half, fmt="o", color=colour, markersize=5, linewidth=1.6, zorder=3)
    for place, of_each in zip(places, rows["of_each"], strict=True):
        if len(of_each) > 1:
            axes.plot(of_each, np.full(len(of_each), place + 0.3), "|", color=colour, markersize=5, alpha=0.8)
    axes.set_title(_PANELS[quantity])
    axes.set_xlabel(_UNITS.get(quantity, "change (nats)"))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylim(len(rows) - 0.4, -0.6)


ARM_COLOURS = ("#6A2C91", "#B06A00", "#00728F", "#7A7A00")
"""None of the probes' colours: an arm is no response."""
MARKERS = "osD^"
SPLIT_WORDS = {"train": "training questions", "test": "unseen questions"}
_DODGE = 0.09  # between the arms' points at one epoch; epochs are 1 apart


def wins_by_epoch(material: Material) -> Drawing | str:
    """The first judge's verdicts in one run."""
    rates = win_rates(material.tables["wins"])
    return draw_wins(rates[rates["judge"] == rates["judge"].iloc[0]], "questions")


def draw_wins(rates: pd.DataFrame, unit: str) -> Drawing | str:
    """``rates``: one judge's, of ``ldyn.report.wins``; unit: what the intervals are over, "questions" or "seeds"."""
    arms, splits = (list(dict.fromkeys(rates[name])) for name in ("arm", "split"))
    if len(arms) > len(ARM_COLOURS):
        return f"it has room for {len(ARM_COLOURS)} arms and there are {len(arms)}; the table has them all"
    canvas, panels = lay_out(1, len(splits), 3.0, 2.4, sharey=True)
    for axes, split in zip(panels, splits, strict=True):
        _rates_panel(axes, rates[rates["split"] == split], arms, unit)
    title = plain(f"Win rates over {rates['baseline'].iloc[0]}, judged by {rates['judge'].iloc[0]}")
    seeds = "t-intervals over seeds (small marks: each seed)"
    kind = seeds if unit == "seeds" else "Wilson intervals over questions"
    foot = f"Ties are half a win; bars: 95 % {kind}; epochs are spaced evenly."
    about = (
        "Greedy answers of both arms to the same question after equally many epochs of preference training, judged in "
        f"both orders. On average {rates['tied'].mean():.0%} of the comparisons are ties, which pull every rate "
        "towards one half."
    )
    return finish(canvas, title, foot, about)


def _rates_panel(axes: Axes, rates: pd.DataFrame, arms: Sequence[str], unit: str) -> None:
    axes.axhline(0.5, color="#444444", linewidth=0.9, zorder=1)
    epochs = sorted(rates["epoch"].unique())
    axes.set_xticks(range(len(epochs)), [epoch_text(epoch, rates) for epoch in epochs])
    axes.set_xlim(-0.6, len(epochs) - 0.4)
    for number, arm in enumerate(arms):
        own, colour, marker = rates[rates["arm"] == arm], ARM_COLOURS[number], MARKERS[number]
        places = np.array([epochs.index(epoch) for epoch in own["epoch"]]) + (number - (len(arms) - 1) / 2) * _DODGE
        middle = own["rate"].to_numpy(float)
        half = [middle - own["low"].to_numpy(float), own["high"].to_numpy(float) - middle]
        half = np.maximum(np.nan_to_num(half), 0.0)  # Wilson's end of a rate of 1 may be 1 less a rounding error
        look = {"marker": marker, "markersize": 4.5, "linewidth": 1.5, "zorder": 3, "label": plain(arm)}
        axes.errorbar(places, middle, yerr=half, color=colour, **look)
        for place, single in zip(places, own.get("of_each", []), strict=False):
            axes.plot([place] * len(single), single, "_", color=colour, markersize=7, alpha=0.7, zorder=2)
    split = str(rates["split"].iloc[0])
    words = SPLIT_WORDS.get(split, plain(f"{split} questions"))
    axes.set_title(f"{words} ({int(rates['n'].max())}{' seeds' if unit == 'seeds' else ''})")
    axes.set_ylabel("win rate (line: even)")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("epochs of preference training")
    name_lines(axes)
