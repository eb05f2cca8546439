"""Arms and settings compared: the paper's Figure 5, and the curves of a sweep by its settings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from ldyn.report.figures.canvas import (
    EndLabel,
    draw_curve,
    dress,
    end_of,
    head_and_foot,
    lay_out,
    room_for,
    write_ends,
    zero_line,
)
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.stages import find_arms
from ldyn.report.style import DASHED, DOTTED, GREEDY, LONG_DASHED, SOLID, CurveStyle, curve_style, plain

MOST_FACETS = 8
ARM_DASHES = (SOLID, DASHED, DOTTED, LONG_DASHED)
_COLUMNS = {"chosen": "chosen y⁺", "rejected": "rejected y⁻", GREEDY: "greedy mass along y⁺"}
_ROWS = {"level": "log π (nats)", "change": "change of log π (nats)"}


def extend_comparison(material: Material) -> Drawing | str:
    """Pairwise stages after SFT on y⁺ (baseline) and after SFT on y⁺ and y⁻ (extend); one dash for each arm."""
    arms = find_arms(material.stages)
    roles = {arm.role for arm in arms}
    if roles != {"baseline", "extend"}:
        return "it needs a baseline and an extend arm, each with a pairwise stage; this run has " + (
            " and ".join(f"a {role} arm only" for role in sorted(roles)) or "neither"
        )
    canvas, panels = lay_out(2, len(_COLUMNS), 2.45, 2.2, room_for(arm.label for arm in arms))
    labels: dict[Axes, list[EndLabel]] = {axes: [] for axes in panels}
    for axes, (value, probe) in zip(panels, [(value, probe) for value in _ROWS for probe in _COLUMNS], strict=True):
        for arm, dash in zip(arms, ARM_DASHES, strict=False):
            curve, style = material.curve(arm.pairwise, probe), curve_style(probe)
            if draw_curve(axes, curve, style, value, dash):
                labels[axes].append(end_of(curve, value, arm.label, style))
        if value == "change":
            zero_line(axes)
        dress(axes, _COLUMNS[probe] if value == "level" else "", _ROWS[value])
    title = "Pairwise stage after SFT on y⁺ (baseline) and after SFT on y⁺ and y⁻ (extend)"
    bands = material.n_words([arm.pairwise for arm in arms], "change").replace("paired", "those of the change paired")
    foot = f"Above: level. Below: change since the stage's start. {bands}"
    head_and_foot(canvas, title, foot)
    write_ends(canvas, labels)
    names = "; ".join(f"{arm.label}: {arm.pointwise.name} then {arm.pairwise.name}" for arm in arms)
    about = "log π(y⁺|x), log π(y⁻|x) and the greedy mass along y⁺ over the pairwise stage."
    return Drawing(canvas, title, f"{about} Arms: {names}. {foot}")


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
            if draw_curve(axes, curve.reset_index(drop=True), style, "change"):
                labels[axes].append(end_of(curve, "change", "all" if same else plain(name), style))
        zero_line(axes)
        dress(axes, f"{stage.name}: {_COLUMNS[probe]}", _ROWS["change"])
    title = "Change of log-probability over each stage, by setting"
    foot = next(iter(facets.values())).n_words(stages, "change")
    head_and_foot(canvas, title, foot)
    write_ends(canvas, labels)
    return Drawing(canvas, title, foot)
