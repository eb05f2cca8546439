"""The curves of two runs compared by shape, whatever the size of model, response and step.

Each curve is its mean change since the stage's start in units of its own range (highest minus lowest value of that mean
over the stage), over the share of the stage. The first is always 0; a rise and fall keeps its form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, PercentFormatter

from ldyn.findings.tables import number
from ldyn.records import StageInfo
from ldyn.report.figures.canvas import Cell, PanelSize, draw_curve, dress, head_and_foot, lay_out, zero_line
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.stages import main_stage, stage_title
from ldyn.report.style import DASHED, SOLID, curve_style, end_label, order_probes

COLUMNS = 5
_SIZE = PanelSize(width=1.5, height=1.15, label_room=0.3)


@dataclass(frozen=True, slots=True)
class Shape:
    """A curve without its size. curve: share of the stage as examples_seen, change in units of ``range`` (nats)."""

    curve: pd.DataFrame
    range: float


@dataclass(frozen=True, slots=True)
class Overlay:
    """One panel: a probe in a stage of this run and in the same kind of stage of the reference."""

    stage: StageInfo
    probe: str
    own: Shape
    other: Shape


def reference_overlay(material: Material) -> Drawing | str:
    """Every probe that both runs observed in a stage of one kind and view: this run solid, the reference dashed."""
    reference = material.reference
    assert reference is not None, "drawn only where a reference was given"
    blocks = [_overlays(material, reference, kind) for kind in ("pointwise", "pairwise")]
    overlays = [overlay for block in blocks for overlay in block]
    if not overlays:
        return f"{reference.name} has no stage with the kind, the view and a probe of a stage of this run"
    canvas, panels = lay_out(_cells([len(block) for block in blocks]), _SIZE)
    for axes, overlay in zip(panels, overlays, strict=True):
        _panel(axes, overlay)
    title = "Shapes of the curves, compared with a reference run"
    foot = f"Across: share of the stage. {_examples(material, reference, overlays)}"
    head_and_foot(canvas, title, foot)
    _legend(canvas, material, reference)
    return Drawing(canvas, title, _caption(material, reference, overlays))


def shape_of(curve: pd.DataFrame) -> Shape | None:
    """None for a curve that has fewer than two values or never changes."""
    curve = curve[np.isfinite(curve["change"])]
    seen, change = curve["examples_seen"], curve["change"]
    if len(curve) < 2 or np.ptp(change) == 0:
        return None
    size = float(np.ptp(change))
    share = (seen - seen.min()) / (seen.max() - seen.min())
    scaled = {"examples_seen": share, "change": change / size, "change_half": curve["change_half"] / size}
    return Shape(pd.DataFrame(scaled), size)


def _overlays(material: Material, reference: Material, kind: str) -> list[Overlay]:
    own, other = main_stage(material.stages, kind), main_stage(reference.stages, kind)
    if own is None or other is None or set(own.view) != set(other.view):
        return []
    shared = order_probes(material.probes(own) & reference.probes(other))
    shapes = [
        (probe, shape_of(material.curve(own, probe)), shape_of(reference.curve(other, probe))) for probe in shared
    ]
    return [Overlay(own, probe, first, second) for probe, first, second in shapes if first and second]


def _cells(counts: Sequence[int]) -> list[Cell]:
    """The panels of each block in rows of COLUMNS; every block begins a row."""
    cells: list[Cell] = []
    for count in counts:
        top = 1 + max((cell.row for cell in cells), default=-1)
        cells += [Cell(top + place // COLUMNS, place % COLUMNS) for place in range(count)]
    return cells


def _panel(axes: Axes, overlay: Overlay) -> None:
    style = curve_style(overlay.probe)
    draw_curve(axes, overlay.other.curve, style, "change", DASHED)
    draw_curve(axes, overlay.own.curve, style, "change", SOLID)
    zero_line(axes)
    sizes = f"1 = {number(overlay.own.range)} nats, reference {number(overlay.other.range)}"
    dress(axes, end_label(overlay.probe), f"{overlay.stage.algorithm.upper()[:12]}: change / range", sizes)
    axes.title.set_fontsize(8.5)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    axes.xaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _legend(canvas: Canvas, material: Material, reference: Material) -> None:
    lines = [Line2D([], [], color="#444444", linewidth=1.8, linestyle=style) for style in ("-", (0, DASHED))]
    names = [f"this run: {material.name}", f"reference: {reference.name}"]
    canvas.legend(lines, names, loc="upper right", frameon=False, fontsize=8.5, handlelength=3)


def _examples(material: Material, reference: Material, overlays: Sequence[Overlay]) -> str:
    """How many examples stand behind the curves of either run, a line each."""
    own = list(dict.fromkeys(overlay.stage for overlay in overlays))
    others = [stage for stage in (main_stage(reference.stages, stage.kind) for stage in own) if stage]
    return f"This run: {material.n_words(own, 'change')}\nReference: {reference.n_words(others, 'change')}"


def _caption(material: Material, reference: Material, overlays: Sequence[Overlay]) -> str:
    stages = " and ".join(stage_title(stage) for stage in dict.fromkeys(overlay.stage for overlay in overlays))
    return (
        f"{stages}: change of log π(y|x) since the stage's start, of {material.name} (solid) and {reference.name} "
        "(dashed), over the share of the stage. Each curve is divided by its own range, highest minus "
        "lowest mean, which stands below it in nats; a range near 0 makes noise look like a shape. "
        f"{_examples(material, reference, overlays)}"
    )
