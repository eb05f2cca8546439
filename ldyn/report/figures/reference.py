"""Runs side by side on one axis in nats: a run and its reference, or the published logs and ours."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from ldyn.records import StageInfo
from ldyn.report.figures.canvas import EndLabel, draw_probes, dress, head_and_foot, lay_out, write_ends, zero_line
from ldyn.report.figures.curves import LABEL_ROOM
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.stages import main_stage, stage_title
from ldyn.report.style import KEY_PROBES, plain

KINDS = ("pointwise", "pairwise")


def beside_reference(material: Material) -> Drawing | str:
    """The run left, its reference right; a row for SFT and one for the preference stage."""
    assert material.reference is not None, "drawn only where a reference was given"
    rows = [panels for kind in KINDS if len(panels := _panels(kind, [material, material.reference])) == 2]
    if not rows:
        return f"{material.reference.name} has no stage of a kind that this run has"
    return _side_by_side("Change of log π over each stage, this run and its reference", rows)


def beside_published(kind: str, materials: Sequence[Material]) -> Drawing | str:
    """One panel for each run, published or ours, that has a stage of ``kind``."""
    panels = _panels(kind, materials)
    if not panels:
        return f"no run has a {kind} stage"
    return _side_by_side("Change of log π over the stage, in published logs and in ours", [panels])


def _panels(kind: str, materials: Sequence[Material]) -> list[tuple[Material, StageInfo]]:
    found = [(material, main_stage(material.stages, kind)) for material in materials]
    return [(material, stage) for material, stage in found if stage is not None]


def _side_by_side(title: str, rows: Sequence[list[tuple[Material, StageInfo]]]) -> Drawing:
    """Two panels a row; the panels of one group share their vertical axis, so that sizes can be compared."""
    lines = [-(-len(group) // 2) for group in rows]
    canvas, panels = lay_out(sum(lines), min(2, max(map(len, rows))), 3.1, 2.5, LABEL_ROOM)
    labels: dict[Axes, list[EndLabel]] = {}
    for group, height in zip(rows, lines, strict=True):
        for axes, (material, stage) in zip(panels, group, strict=False):
            probes = [probe for probe in KEY_PROBES if probe in material.probes(stage)]
            labels[axes] = draw_probes(axes, material, stage, probes)
            zero_line(axes)
            dress(axes, plain(f"{material.name}: {stage_title(stage)}"), "change (nats)")
        for axes in panels[len(group) : 2 * height]:
            axes.remove()
        own, panels = panels[: len(group)], panels[2 * height :]
        low, high = min(axes.get_ylim()[0] for axes in own), max(axes.get_ylim()[1] for axes in own)
        for axes in own:
            axes.set_ylim(low, high)
    notes = [f"{material.name}: {material.n_words([stage], 'change')}" for group in rows for material, stage in group]
    foot = "\n".join(dict.fromkeys(notes))
    head_and_foot(canvas, title, f"One vertical axis for all panels{' of a row' if len(rows) > 1 else ''}.")
    write_ends(canvas, labels)
    return Drawing(canvas, title, f"Change of log π(y|x) in nats since the stage's start. {foot}")
