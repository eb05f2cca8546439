"""What all figures share: panels placed by inches, curves with bands, axes, and labels at the ends of lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from ldyn.records import StageInfo
from ldyn.report.figures.material import Material
from ldyn.report.style import CurveStyle, Dash, curve_style, end_label

DPI = 160
LEFT, TOP, BOTTOM, BETWEEN_ROWS = 0.74, 0.78, 0.98, 0.86
"""Inches: for the value axis, for the figure's title, for the lowest axis and the foot, between rows."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in the grid of panels; ``span`` is the number of columns it takes."""

    row: int
    column: int
    span: int = 1


@dataclass(frozen=True, slots=True)
class PanelSize:
    """Inches: width and height of the axes, and the room to their right that end labels need."""

    width: float
    height: float
    label_room: float

    @property
    def pitch(self) -> float:
        """From one column to the next."""
        return LEFT + self.width + self.label_room


def lay_out(cells: Sequence[Cell], size: PanelSize) -> tuple[Canvas, list[Axes]]:
    """A figure with one axes for each cell, in their order."""
    rows = 1 + max(cell.row for cell in cells)
    columns = max(cell.column + cell.span for cell in cells)
    width = columns * size.pitch
    height = TOP + rows * size.height + (rows - 1) * BETWEEN_ROWS + BOTTOM
    canvas = Canvas(figsize=(width, height), dpi=DPI)
    panels = []
    for cell in cells:
        left = cell.column * size.pitch + LEFT
        bottom = BOTTOM + (rows - 1 - cell.row) * (size.height + BETWEEN_ROWS)
        wide = size.width + (cell.span - 1) * size.pitch
        panels.append(canvas.add_axes((left / width, bottom / height, wide / width, size.height / height)))
    return canvas, panels


def grid_cells(rows: int, columns: int) -> list[Cell]:
    """All cells of a grid, row by row."""
    return [Cell(row, column) for row in range(rows) for column in range(columns)]


def two_columns(count: int) -> list[Cell]:
    """Two panels a row; a last one without a neighbour takes the whole row."""
    cells = [Cell(index // 2, index % 2) for index in range(count)]
    return [*cells[:-1], Cell((count - 1) // 2, 0, span=2)] if count % 2 else cells


def head_and_foot(canvas: Canvas, title: str, foot: str) -> None:
    """The figure's title at the upper left and what is averaged at the lower left."""
    width, height = canvas.get_size_inches()
    canvas.text(0.12 / width, 1 - 0.14 / height, title, ha="left", va="top", fontsize=12, fontweight="bold")
    canvas.text(0.12 / width, 0.12 / height, foot, ha="left", va="bottom", fontsize=8.5, color="#444444")


# ----------------------------------------------------------------------------------------------------
# Labels at the ends of lines, spread so that none covers another

SIZE = 8.5
"""Of the labels, in points."""
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
        right = (box.x1 - end[0]) / point + _DISTANCE
        _write(axes, label, (right, (height - end[1]) / point))


def _write(axes: Axes, label: EndLabel, offset: tuple[float, float]) -> None:
    """One label and its leader; ``offset`` in points from the line's end to the middle of the label's left edge."""
    here, plain = {"xy": (label.x, label.y), "textcoords": "offset points", "annotation_clip": False}, "normal"
    leader = {"arrowstyle": "-", "color": label.colour, "lw": 0.7, "alpha": 0.55, "shrinkA": 0, "shrinkB": 4}
    axes.annotate("", xytext=(offset[0] - 3, offset[1]), arrowprops=leader, **here)  # type: ignore[arg-type]
    # Set on a common baseline: centred boxes would jump with every superscript.
    axes.annotate(
        label.text,
        xytext=(offset[0], offset[1] - 0.36 * SIZE),
        color=label.colour,
        fontsize=SIZE,
        fontweight="bold" if label.bold else plain,
        va="baseline",
        ha="left",
        **here,  # type: ignore[arg-type]
    )


# ----------------------------------------------------------------------------------------------------
# Curves and axes


def draw_curve(
    axes: Axes, curve: pd.DataFrame, style: CurveStyle, value: str, dash: Dash | None = None, shift: float = 0.0
) -> bool:
    """Draws ``value`` ("level" or "change") over examples seen with its band; False where there is nothing to draw."""
    curve = curve[np.isfinite(curve[value])]
    if curve.empty:
        return False
    x, y, half = (curve[name].to_numpy(float) for name in ("examples_seen", value, f"{value}_half"))
    pattern = style.dash if dash is None else dash
    axes.plot(
        x + shift,
        y,
        color=style.colour,
        linestyle=(0, pattern) if pattern else "-",
        linewidth=style.width,
        marker="o",
        markersize=style.width * 1.9,
        markevery=[len(x) - 1],
        zorder=3,
    )
    axes.fill_between(x + shift, y - half, y + half, color=style.colour, alpha=0.13, linewidth=0, zorder=2)
    return True


def draw_probes(axes: Axes, material: Material, stage: StageInfo, probes: Sequence[str], value: str) -> list[EndLabel]:
    """Draws the logp curves of some probes and returns the labels for their ends."""
    labels = []
    for probe in probes:
        curve, style = material.curve(stage, probe), curve_style(probe)
        if draw_curve(axes, curve, style, value):
            labels.append(end_of(curve, value, end_label(probe), style))
    return labels


def end_of(curve: pd.DataFrame, value: str, text: str, style: CurveStyle, shift: float = 0.0) -> EndLabel:
    """The label for the last point of a curve."""
    last = curve[np.isfinite(curve[value])].iloc[-1]
    x, y = float(last["examples_seen"]) + shift, float(last[value])
    return EndLabel(text, x, y, style.text_colour, bold=style.width > 2.5)


def dress(axes: Axes, title: str, y_label: str, x_label: str = "examples seen") -> None:
    """Title, axis labels, integer ticks, and a line at no change."""
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.margins(x=0.02)


def zero_line(axes: Axes) -> None:
    """Marks no change, which belongs to every plot of changes even where all curves lie on one side."""
    axes.axhline(0, color="#444444", linewidth=0.9, zorder=1)


def write_ends(canvas: Canvas, labels: dict[Axes, list[EndLabel]]) -> None:
    """Writes all end labels, once the axes have their final places."""
    for axes, ends in labels.items():
        axes.viewLim  # noqa: B018 - reading it makes matplotlib apply limits that it has delayed
        label_ends(axes, ends, canvas.dpi)
