"""What all figures share: panels, curves with bands, axes, and a legend in the order in which lines end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ldyn.records import StageInfo
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import CurveStyle, Dash, curve_style, end_label

DPI = 160
LEGEND = 1.6
"""Inches to the right of a panel, for its legend."""
_AXIS, _AROUND = 0.7, 0.9  # inches: for an axis with its label, for the figure's title and foot


def lay_out(
    rows: int,
    columns: int,
    width: float,
    height: float,
    room: float = LEGEND,
    *,
    count: int | None = None,
    sharey: bool = False,
) -> tuple[Canvas, list[Axes]]:
    """A grid of panels, row by row (the first ``count`` of them), of about ``width`` × ``height`` inches each."""
    size = columns * (_AXIS + width + room), _AROUND + rows * (_AXIS + height)
    canvas = Canvas(figsize=size, dpi=DPI, layout="constrained")
    panels = list(canvas.subplots(rows, columns, sharey=sharey, squeeze=False).flat)
    for axes in panels[count:] if count else ():
        axes.remove()
    return canvas, panels[:count]


def draw_curve(
    axes: Axes, curve: pd.DataFrame, style: CurveStyle, value: str, text: str, dash: Dash | None = None
) -> None:
    """Draws ``value`` ("level" or "change") over examples seen with its band, where there is anything to draw."""
    curve = curve[np.isfinite(curve[value])]
    x, y, half = (curve[name].to_numpy(float) for name in ("examples_seen", value, f"{value}_half"))
    pattern = style.dash if dash is None else dash
    look: dict[str, Any] = {"linestyle": (0, pattern) if pattern else "-", "linewidth": style.width, "zorder": 3}
    if len(curve):
        look |= {"marker": "o", "markersize": style.width * 1.9, "markevery": [-1]}
        axes.plot(x, y, color=style.colour, label=text, **look)
        axes.fill_between(x, y - half, y + half, color=style.colour, alpha=0.13, linewidth=0, zorder=2)


def draw_probes(axes: Axes, material: Material, stage: StageInfo, probes: Sequence[str]) -> None:
    """Draws the changes of log π of some probes."""
    for probe in probes:
        draw_curve(axes, material.curve(stage, probe), curve_style(probe), "change", end_label(probe))


def dress(axes: Axes, title: str, y_label: str, x_label: str = "examples seen") -> None:
    """Title, axis labels, integer ticks, and the legend of the lines drawn so far."""
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.margins(x=0.02)
    name_lines(axes)


def name_lines(axes: Axes) -> None:
    """A legend to the right of the panel, from the line that ends highest to the one that ends lowest."""
    handles, names = axes.get_legend_handles_labels()
    named = sorted(zip(handles, names, strict=True), key=lambda one: -_end(one[0]))
    if named:
        look: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "frameon": False, "fontsize": 8.5}
        axes.legend([handle for handle, _ in named], [name for _, name in named], **look)


def _end(handle: Any) -> float:
    line = handle if isinstance(handle, Line2D) else handle[0]  # of an error bar
    return float(np.asarray(line.get_ydata())[-1])


def zero_line(axes: Axes) -> None:
    """Marks no change, which belongs to every plot of changes even where all curves lie on one side."""
    axes.axhline(0, color="#444444", linewidth=0.9, zorder=1)


def finish(canvas: Canvas, title: str, foot: str, about: str = "") -> Drawing:
    """Write the title at the upper left and ``foot`` (what is averaged) at the lower left.

    The caption is ``about``, then ``foot``.
    """
    canvas.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    canvas.supxlabel(foot, x=0.01, ha="left", fontsize=8.5, color="#444444")
    return Drawing(canvas, title, f"{about} {foot}".strip())
