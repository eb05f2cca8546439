"""The curves of two runs in one figure, in nats over the share of the stage: ours and those that were published."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from ldyn.records import StageInfo
from ldyn.report.figures.canvas import draw_curve, dress, head_and_foot, lay_out, zero_line
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.stages import main_stage
from ldyn.report.style import DASHED, SOLID, curve_style, end_label, order_probes

KINDS = ("pointwise", "pairwise")
COLUMNS = 5


def reference_overlay(material: Material) -> Drawing | str:
    """Every probe that both runs observed in a stage of one kind and view: this run solid, the reference dashed.

    The panels of a stage share their axis, so that sizes can be compared between probes and between runs.
    """
    reference = material.reference
    assert reference is not None, "drawn only where a reference was given"
    pairs = [(main_stage(material.stages, kind), main_stage(reference.stages, kind)) for kind in KINDS]
    pairs_of_one_view = [(own, other) for own, other in pairs if own and other and set(own.view) == set(other.view)]
    blocks = [
        (own, other, order_probes(material.probes(own) & reference.probes(other))) for own, other in pairs_of_one_view
    ]
    blocks = [block for block in blocks if block[2]]
    if not blocks:
        return f"{reference.name} has no stage with the kind, the view and a probe of a stage of this run"
    rows = [-(-len(probes) // COLUMNS) for *_, probes in blocks]
    columns = min(COLUMNS, max(len(probes) for *_, probes in blocks))
    canvas, panels = lay_out(sum(rows), columns, 1.6, 1.35, 0.2)
    for (own, other, probes), height in zip(blocks, rows, strict=True):
        for axes in panels[len(probes) : height * columns]:
            axes.remove()
        _draw_stage(panels[: len(probes)], material, reference, own, other, probes)
        panels = panels[height * columns :]
    foot = (
        f"Across: share of the stage. This run: {material.n_words([own for own, *_ in blocks], 'change')}\n"
        f"Reference: {reference.n_words([other for _, other, _ in blocks], 'change')}"
    )
    title = "Change of log π over a stage, compared with a reference run"
    head_and_foot(canvas, title, foot)
    lines = [Line2D([], [], color="#444444", linewidth=1.8, linestyle=style) for style in ("-", (0, DASHED))]
    names = [f"this run: {material.name}", f"reference: {reference.name}"]
    canvas.legend(lines, names, loc="upper right", frameon=False, fontsize=8.5, handlelength=3)
    runs = f"{material.name} (solid) and {reference.name} (dashed)"
    about = f"Change of log π(y|x) in nats since the stage's start, of {runs}."
    return Drawing(canvas, title, f"{about} {foot}")


def _draw_stage(
    panels: list[Axes], material: Material, reference: Material, own: StageInfo, other: StageInfo, probes: list[str]
) -> None:
    for axes, probe in zip(panels, probes, strict=True):
        draw_curve(axes, _over_share(reference.curve(other, probe)), curve_style(probe), "change", DASHED)
        draw_curve(axes, _over_share(material.curve(own, probe)), curve_style(probe), "change", SOLID)
        zero_line(axes)
        dress(axes, end_label(probe), f"{own.algorithm.upper()[:12]}: change (nats)", "")
        axes.title.set_fontsize(8.5)
        axes.yaxis.label.set_fontsize(8)
        axes.set_xticks([0, 0.5, 1])
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    low, high = min(axes.get_ylim()[0] for axes in panels), max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(low, high)


def _over_share(curve: pd.DataFrame) -> pd.DataFrame:
    seen = curve["examples_seen"]
    return curve.assign(examples_seen=(seen - seen.min()) / max(1, seen.max() - seen.min()))
