"""All arms side by side, of one run or over seeds: changes of log π, and win rates by epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from ldyn.report.arms import OTHERS, SAMPLED, summarise_arms
from ldyn.report.figures.canvas import BOTTOM, DPI, TOP, finish
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import GREEDY, curve_style

_COLOURS = dict.fromkeys((OTHERS, *SAMPLED), "#6B6B6B")
_PANELS = {
    "chosen": "chosen y⁺",
    "rejected": "rejected y⁻",
    OTHERS: "all other responses",
    GREEDY: "greedy mass along y⁺",
    **{name: f"{name}, sampled" for name in SAMPLED},
}
_UNITS = dict.fromkeys(SAMPLED[:2], "change (share)") | {SAMPLED[2]: "change (nats per token)"}
_WIDTH, _BETWEEN, _ROW_HEIGHT = 2.1, 0.3, 0.26  # inches


def arms_side_by_side(material: Material) -> Drawing | str:
    """One row for each arm; drawn for an experiment with at least three (two have figures of their own)."""
    if material.arms["arm"].nunique() < 3:
        return "it needs at least three arms, that is stages with pairs or rewards that start from an SFT"
    return draw_arms(summarise_arms({"this run": material.arms}), "probe examples")


def draw_arms(summary: pd.DataFrame, unit: str) -> Drawing:
    """``summary``: of ``summarise_arms``; unit: what the intervals are over, "probe examples" or "seeds"."""
    arms = list(dict.fromkeys(summary["arm"]))
    panels = [name for name in _PANELS if name in set(summary["quantity"])]
    # Panels in a row that share their rows; inches, so that text has one size whatever the number of arms.
    left, right = 0.35 + 0.075 * max(map(len, arms)), 0.2
    width = left + len(panels) * _WIDTH + (len(panels) - 1) * _BETWEEN + right
    height = TOP + _ROW_HEIGHT * (len(arms) + 1) + BOTTOM
    canvas = Canvas(figsize=(width, height), dpi=DPI)
    [axes] = canvas.subplots(1, len(panels), sharey=True, squeeze=False, gridspec_kw={"wspace": _BETWEEN / _WIDTH})
    canvas.subplots_adjust(left / width, BOTTOM / height, 1 - right / width, 1 - TOP / height)
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
