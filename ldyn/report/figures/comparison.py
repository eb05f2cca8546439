"""Curves compared: arms (the paper's Figure 5), settings of a sweep, a run and its reference, published logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from ldyn.records import StageInfo
from ldyn.report.figures.canvas import (
    EndLabel,
    draw_curve,
    draw_probes,
    dress,
    finish,
    lay_out,
    room_for,
    zero_line,
)
from ldyn.report.figures.curves import LABEL_ROOM
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.stages import find_arms, main_stage, stage_title
from ldyn.report.style import DASHED, DOTTED, GREEDY, KEY_PROBES, LONG_DASHED, SOLID, CurveStyle, curve_style, plain

MOST_FACETS = 8
KINDS = ("pointwise", "pairwise")
ARM_DASHES = (SOLID, DASHED, DOTTED, LONG_DASHED)
_COLUMNS = {"chosen": "chosen y⁺", "rejected": "rejected y⁻", GREEDY: "greedy mass along y⁺"}
_ROWS = {"level": "log π (nats)", "change": "change of log π (nats)"}


def extend_comparison(material: Material) -> Drawing | str:
    """Pairwise stages after SFT on y⁺ (baseline) and after SFT on y⁺ and y⁻ (extend); one dash for each arm."""
    arms = find_arms(material.stages)
    if {arm.role for arm in arms} != {"baseline", "extend"}:
        return "it needs a baseline and an extend arm, each with a pairwise stage"
    canvas, panels = lay_out(2, len(_COLUMNS), 2.45, 2.2, room_for(arm.label for arm in arms))
    labels: dict[Axes, list[EndLabel]] = {axes: [] for axes in panels}
    for axes, (value, probe) in zip(panels, [(value, probe) for value in _ROWS for probe in _COLUMNS], strict=True):
        for arm, dash in zip(arms, ARM_DASHES, strict=False):
            curve = material.curve(arm.pairwise, probe)
            labels[axes] += draw_curve(axes, curve, curve_style(probe), value, arm.label, dash)
        if value == "change":
            zero_line(axes)
        dress(axes, _COLUMNS[probe] if value == "level" else "", _ROWS[value])
    title = "Pairwise stage after SFT on y⁺ (baseline) and after SFT on y⁺ and y⁻ (extend)"
    bands = material.n_words([arm.pairwise for arm in arms], "change").replace("paired", "those of the change paired")
    foot = f"Above: level. Below: change since the stage's start. {bands}"
    names = "; ".join(f"{arm.label}: {arm.pointwise.name} then {arm.pairwise.name}" for arm in arms)
    about = "log π(y⁺|x), log π(y⁻|x) and the greedy mass along y⁺ over the pairwise stage."
    return finish(canvas, title, foot, f"{about} Arms: {names}.", labels)


def facet_curves(facets: Mapping[str, Material]) -> Drawing | str:
    """Change of log π of y⁺, y⁻ and the greedy mass over each stage (rows), one colour for each facet of a sweep."""
    names = [set(facet.curves["stage"]) for facet in facets.values()]
    stages = [stage for stage in next(iter(facets.values())).stages if all(stage.name in own for own in names)]
    if not stages or len(facets) > MOST_FACETS:
        return f"it needs a stage that all runs share and at most {MOST_FACETS} settings; there are {len(facets)}"
    colours = [to_hex(shade) for shade in colormaps["viridis"](np.linspace(0, 0.85, len(facets)))]
    canvas, panels = lay_out(len(stages), len(_COLUMNS), 2.45, 2.0, room_for(facets))
    labels: dict[Axes, list[EndLabel]] = {axes: [] for axes in panels}
    for axes, (stage, probe) in zip(panels, [(s, p) for s in stages for p in _COLUMNS], strict=True):
        curves = [facet.curve(stage, probe) for facet in facets.values()]
        same = all(curves[0]["change"].equals(curve["change"]) for curve in curves[1:])
        for name, curve, colour in zip(facets, curves[:1] if same else curves, colours, strict=False):
            style = CurveStyle(colour, colour, SOLID, 1.8, "", name)
            labels[axes] += draw_curve(axes, curve, style, "change", "all" if same else plain(name))
        zero_line(axes)
        dress(axes, f"{stage.name}: {_COLUMNS[probe]}", _ROWS["change"])
    title = "Change of log-probability over each stage, by setting"
    return finish(canvas, title, next(iter(facets.values())).n_words(stages, "change"), ends=labels)


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
    about = "\n".join(["Change of log π(y|x) in nats since the stage's start.", *dict.fromkeys(notes)])
    foot = f"One vertical axis for all panels{' of a row' if len(rows) > 1 else ''}."
    return finish(canvas, title, foot, about, labels)
