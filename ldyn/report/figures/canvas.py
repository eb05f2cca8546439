"""What all figures share: panels placed by inches, curves with bands, axes, and labels at the ends of lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from ldyn.records import StageInfo
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import CurveStyle, Dash, curve_style, end_label

DPI = 160
LEFT, TOP, BOTTOM, BETWEEN_ROWS = 0.74, 0.78, 0.98, 0.86
"""Inches: for the value axis, for the figure's title, for the lowest axis and the foot, between rows."""


def lay_out(
    rows: int, columns: int, width: float, height: float, room: float, *, count: int | None = None
) -> tuple[Canvas, list[Axes]]:
    """A grid of panels, row by row (the first ``count`` of them); inches: width and height of one panel.

    room: to its right, for the labels at the ends of its lines.
    """
    pitch = LEFT + width + room
    whole = columns * pitch, TOP + rows * height + (rows - 1) * BETWEEN_ROWS + BOTTOM
    canvas = Canvas(figsize=whole, dpi=DPI)
    panels = []
    for place in range(rows * columns if count is None else count):
        row, column = divmod(place, columns)
        left, bottom = column * pitch + LEFT, BOTTOM + (rows - 1 - row) * (height + BETWEEN_ROWS)
        panels.append(canvas.add_axes((left / whole[0], bottom / whole[1], width / whole[0], height / whole[1])))
    return canvas, panels


def room_for(names: Iterable[str]) -> float:
    """Inches that the longest of the end labels needs."""
    return 0.4 + 0.075 * max(map(len, names), default=0)


SIZE = 8.5
"""Of the labels at the ends of lines, in points."""
_LINE_HEIGHT = 1.3
_DISTANCE = 14  # from the axes' right edge, in points


@dataclass(frozen=True, slots=True)
class EndLabel:
    """A label for the end (x, y) of a line, in data coordinates."""

    text: str
    x: float
    y: float
    colour: str
    bold: bool = False


def spread(targets: Sequence[float], gap: float, low: float, high: float) -> NDArray[np.float64]:
    """Positions as near to the targets as can be (least squares), at least ``gap`` apart and within [low, high].

    With the targets in order, p_i − i·gap must not fall: an isotonic regression of t_i − i·gap, clipped at both ends.
    Where the room does not suffice the gaps are narrowed evenly.
    """
    from scipy.optimize import isotonic_regression  # takes half a second to import

    count = len(targets)
    if count > 1:
        gap = min(gap, (high - low) / (count - 1))
    order = np.argsort(targets, kind="stable")
    shifts = gap * np.arange(count)
    fitted = isotonic_regression(np.asarray(targets, float)[order] - shifts).x
    placed = np.empty(count)
    placed[order] = np.clip(fitted, low, max(low, high - gap * (count - 1))) + shifts
    return placed


def label_ends(axes: Axes, labels: Sequence[EndLabel], dpi: float) -> None:
    """Writes the labels to the right of the axes, each joined to its line's end by a thin leader of its colour.

    Call it when limits, scale and position of the axes are final: it works in pixels, of which ``dpi`` make an inch.
    """
    if not labels:
        return
    point = dpi / 72
    gap = SIZE * _LINE_HEIGHT * point
    box = axes.get_window_extent()
    ends = axes.transData.transform([(label.x, label.y) for label in labels])
    heights = spread([float(y) for y in ends[:, 1]], gap, box.y0 - gap / 2, box.y1 + gap / 2)
    for label, end, height in zip(labels, ends, heights, strict=True):
        right, up = (box.x1 - end[0]) / point + _DISTANCE, (height - end[1]) / point
        here: dict[str, Any] = {"xy": (label.x, label.y), "textcoords": "offset points", "annotation_clip": False}
        leader = {"arrowstyle": "-", "color": label.colour, "lw": 0.7, "alpha": 0.55, "shrinkA": 0, "shrinkB": 4}
        axes.annotate("", xytext=(right - 3, up), arrowprops=leader, **here)
        # On a common baseline: centred boxes would jump with every superscript.
        weight = "bold" if label.bold else "normal"
        axes.annotate(
            label.text, xytext=(right, up - 0.36 * SIZE), color=label.colour, fontsize=SIZE, fontweight=weight, **here
        )


def draw_curve(
    axes: Axes, curve: pd.DataFrame, style: CurveStyle, value: str, text: str, dash: Dash | None = None
) -> list[EndLabel]:
    """Draws ``value`` ("level" or "change") over examples seen with its band.

    Returns the label for its end; none where there is nothing to draw.
    """
    curve = curve[np.isfinite(curve[value])]
    if curve.empty:
        return []
    x, y, half = (curve[name].to_numpy(float) for name in ("examples_seen", value, f"{value}_half"))
    pattern = style.dash if dash is None else dash
    look: dict[str, Any] = {"linestyle": (0, pattern) if pattern else "-", "linewidth": style.width}
    axes.plot(x, y, color=style.colour, marker="o", markersize=style.width * 1.9, markevery=[-1], zorder=3, **look)
    axes.fill_between(x, y - half, y + half, color=style.colour, alpha=0.13, linewidth=0, zorder=2)
    return [EndLabel(text, float(x[-1]), float(y[-1]), style.text_colour, bold=style.width > 2.5)]


def draw_probes(axes: Axes, material: Material, stage: StageInfo, probes: Sequence[str]) -> list[EndLabel]:
    """Draws the changes of log π of some probes and returns the labels for their ends."""
    drawn = (
        draw_curve(axes, material.curve(stage, probe), curve_style(probe), "change", end_label(probe))
        for probe in probes
    )
    return [label for labels in drawn for label in labels]


def dress(axes: Axes, title: str, y_label: str, x_label: str = "examples seen") -> None:
    """Title, axis labels and integer ticks."""
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.margins(x=0.02)


def zero_line(axes: Axes) -> None:
    """Marks no change, which belongs to every plot of changes even where all curves lie on one side."""
    axes.axhline(0, color="#444444", linewidth=0.9, zorder=1)


def finish(
    canvas: Canvas, title: str, foot: str, about: str = "", ends: Mapping[Axes, Sequence[EndLabel]] | None = None
) -> Drawing:
    """Write the title at the upper left, ``foot`` (what is averaged) at the lower left, and the labels at line ends.

    Call it when the axes have their final places and limits. The caption is ``about``, then ``foot``.
    """
    width, height = canvas.get_size_inches()
    canvas.text(0.12 / width, 1 - 0.14 / height, title, ha="left", va="top", fontsize=12, fontweight="bold")
    canvas.text(0.12 / width, 0.12 / height, foot, ha="left", va="bottom", fontsize=8.5, color="#444444")
    for axes, labels in (ends or {}).items():
        axes.viewLim  # noqa: B018 - reading it makes matplotlib apply limits that it has delayed
        label_ends(axes, labels, canvas.dpi)
    return Drawing(canvas, title, f"{about} {foot}".strip())
