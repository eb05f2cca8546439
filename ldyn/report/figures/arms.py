"""All arms side by side: how far y⁺, y⁻, the other responses and the greedy mass moved in each."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from ldyn.report.arms import OTHERS, summarise_arms
from ldyn.report.figures.layout import BOTTOM, DPI, TOP, head_and_foot
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import GREEDY, curve_style

_COLOURS = {OTHERS: "#6B6B6B"}
_PANELS = {
    "chosen": "chosen y⁺",
    "rejected": "rejected y⁻",
    OTHERS: "all other responses",
    GREEDY: "greedy mass along y⁺",
}
_WIDTH, _BETWEEN, _ROW_HEIGHT = 2.1, 0.3, 0.26  # inches


def arms_side_by_side(material: Material) -> Drawing | str:
    """One row for each arm; drawn for an experiment with at least three (two have figures of their own)."""
    if material.arms["arm"].nunique() < 3:
        return "it needs at least three arms, that is pairwise stages that start from an SFT"
    return draw_arms(summarise_arms({"this run": material.arms}), "probe examples")


def draw_arms(summary: pd.DataFrame, unit: str) -> Drawing:
    """``summary``: of ``summarise_arms``; unit: what the intervals are over, "probe examples" or "seeds"."""
    arms = list(dict.fromkeys(summary["arm"]))
    panels = [name for name in _PANELS if name in set(summary["quantity"])]
    canvas, axes = _lay_out(arms, len(panels))
    for panel, quantity in zip(axes, panels, strict=True):
        _draw_panel(panel, summary[summary["quantity"] == quantity].set_index("arm").loc[arms], quantity)
    axes[0].set_yticks(range(len(arms)), arms)
    fewest, most = int(summary["n"].min()), int(summary["n"].max())
    n = str(most) if fewest == most else f"{fewest} to {most}"
    foot = f"Dots: mean over {n} {unit}; bars: 95 % t-intervals over them."
    if unit == "seeds":
        foot += " Small marks: the mean of each seed."
    title = "What each arm did: change from the end of SFT to the end of the arm"
    head_and_foot(canvas, title, foot)
    return Drawing(
        canvas, title, f"Change of log π (nats) over each arm, paired by example. {foot}", _alt(summary, arms)
    )


def _lay_out(arms: list[str], panels: int) -> tuple[Canvas, list[Axes]]:
    """Panels in a row that share their rows; inches, so that text has one size whatever the number of arms."""
    left, right = 0.35 + 0.075 * max(map(len, arms)), 0.2
    width = left + panels * _WIDTH + (panels - 1) * _BETWEEN + right
    height = TOP + _ROW_HEIGHT * (len(arms) + 1) + BOTTOM
    canvas = Canvas(figsize=(width, height), dpi=DPI)
    axes = canvas.subplots(1, panels, sharey=True, squeeze=False, gridspec_kw={"wspace": _BETWEEN / _WIDTH})
    canvas.subplots_adjust(left / width, BOTTOM / height, 1 - right / width, 1 - TOP / height)
    return canvas, list(axes[0])


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
    axes.set_xlabel("change (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _alt(summary: pd.DataFrame, arms: list[str]) -> str:
    means = summary.set_index(["arm", "quantity"])["mean"]
    words = [
        f"{arm}: y⁺ {means.get((arm, 'chosen'), np.nan):+.1f}, y⁻ {means.get((arm, 'rejected'), np.nan):+.1f}, "
        f"greedy mass {means.get((arm, GREEDY), np.nan):+.1f}"
        for arm in arms
    ]
    return f"Dot plots with one row for each of {len(arms)} arms. In nats, {'; '.join(words)}."
