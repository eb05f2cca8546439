"""Arms compared: the paper's Figure 5, and greedy mass and entropy through all stages of every chain."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from ldyn.records import StageInfo
from ldyn.report.curves import QUANTITIES
from ldyn.report.figures.canvas import (
    EndLabel,
    PanelSize,
    draw_curve,
    dress,
    end_of,
    grid_cells,
    head_and_foot,
    lay_out,
    two_columns,
    write_ends,
    zero_line,
)
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.stages import Arm, find_arms, find_chains, main_chain, stage_title
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
    cells = [(value, probe) for value in _ROWS for probe in _COLUMNS]
    room = 0.4 + 0.072 * max(len(arm.label) for arm in arms)
    canvas, panels = lay_out(grid_cells(len(_ROWS), len(_COLUMNS)), PanelSize(2.45, 2.2, room))
    labels = {
        axes: _cell(axes, material, arms, probe, value) for axes, (value, probe) in zip(panels, cells, strict=True)
    }
    title = "Pairwise stage after SFT on y⁺ (baseline) and after SFT on y⁺ and y⁻ (extend)"
    head_and_foot(canvas, title, f"Above: level. Below: change since the stage's start. {_bands(material, arms)}")
    write_ends(canvas, labels)
    return Drawing(canvas, title, _caption(material, arms))


def _cell(axes: Axes, material: Material, arms: list[Arm], probe: str, value: str) -> list[EndLabel]:
    labels = []
    for arm, dash in zip(arms, ARM_DASHES, strict=False):
        curve = material.curve(arm.pairwise, probe)
        if draw_curve(axes, curve, curve_style(probe), value, dash):
            labels.append(end_of(curve, value, arm.label, curve_style(probe)))
    if value == "change":
        zero_line(axes)
    dress(axes, _COLUMNS[probe] if value == "level" else "", _ROWS[value], "examples seen")
    return labels


def _bands(material: Material, arms: list[Arm]) -> str:
    return material.n_words([arm.pairwise for arm in arms], "change").replace("paired", "those of the change paired")


def _caption(material: Material, arms: list[Arm]) -> str:
    names = "; ".join(f"{arm.label}: {arm.pointwise.name} then {arm.pairwise.name}" for arm in arms)
    return (
        "log π(y⁺|x), log π(y⁻|x) and the greedy mass along y⁺ over the pairwise stage, above as level, below as "
        f"change since that stage's first evaluation. Arms: {names}. {_bands(material, arms)}"
    )


_TITLES = {
    "logp_argmax": "log π(y*): mass of the argmax",
    "log_mass_rest": "log mass outside the argmax",
    "entropy": "entropy of the next token",
    "argmax_is_label": "argmax is the label",
}


def greedy_mass_entropy(material: Material) -> Drawing | str:
    """Quantities along y⁺ (teacher-forced), the stages of a chain one after another; one dash for each chain."""
    chains = _chains(material)
    if not any("chosen" in material.probes(stage) for chain in chains for stage in chain):
        return "it needs the probe 'chosen', which this run has not observed"
    measured = [quantity for quantity in _TITLES if _is_measured(material, quantity)]
    if not measured:
        return f"none of what it shows was measured along 'chosen': {', '.join(_TITLES.values())}"
    names = [_chain_name(material, chain) for chain in chains] if len(chains) > 1 else []
    room = 0.4 + 0.078 * max(map(len, names)) if names else 0.3
    canvas, panels = lay_out(two_columns(len(measured)), PanelSize(3.9, 2.2, room))
    labels = {
        axes: _greedy_panel(axes, material, chains, quantity) for axes, quantity in zip(panels, measured, strict=True)
    }
    what = "greedy mass and entropy" if "entropy" in measured else "greedy mass"
    title = f"Along y⁺, teacher-forced: {what} through the stages"
    stages = [stage for chain in chains for stage in chain]
    head_and_foot(canvas, title, material.n_words(stages, "level"))
    write_ends(canvas, labels)
    return Drawing(canvas, title, _greedy_caption(material, stages, measured))


def _is_measured(material: Material, quantity: str) -> bool:
    return any(len(material.curve(stage, "chosen", quantity)) for stage in material.stages)


def _chains(material: Material) -> list[tuple[StageInfo, ...]]:
    first = main_chain(material.stages)
    others = [chain for chain in find_chains(material.stages) if chain != first]
    return [first, *others][: len(ARM_DASHES)]


def _greedy_panel(axes: Axes, material: Material, chains: list[tuple[StageInfo, ...]], quantity: str) -> list[EndLabel]:
    labels: list[EndLabel] = []
    for chain, dash in zip(chains, ARM_DASHES, strict=False):
        labels += _draw_chain(axes, material, chain, quantity, dash, name=len(chains) > 1)
    _mark_stages(axes, material, chains[0])
    dress(axes, _TITLES[quantity], QUANTITIES[quantity].unit, "examples seen, all stages together")
    return labels


def _draw_chain(
    axes: Axes, material: Material, chain: tuple[StageInfo, ...], quantity: str, dash: tuple[float, ...], name: bool
) -> list[EndLabel]:
    style, shift, label = curve_style(GREEDY), 0.0, None
    for stage in chain:
        curve = material.curve(stage, "chosen", quantity)
        if draw_curve(axes, curve, style, "level", dash, shift):
            label = end_of(curve, "level", _chain_name(material, chain) if name else "", style, shift)
        shift += _length(material, stage)
    return [label] if label and name else []


def _chain_name(material: Material, chain: tuple[StageInfo, ...]) -> str:
    arms = {arm.pairwise.name: arm.label for arm in find_arms(material.stages)}
    return arms.get(chain[-1].name, chain[-1].name)


def _length(material: Material, stage: StageInfo) -> float:
    seen = material.curve(stage, "chosen")["examples_seen"]
    return float(seen.max()) if len(seen) else 0.0


def _mark_stages(axes: Axes, material: Material, chain: tuple[StageInfo, ...]) -> None:
    """A vertical line where the main chain goes from one stage to the next, and the stages' titles above."""
    start = 0.0
    for stage in chain:
        if start:
            axes.axvline(start, color="#888888", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            stage_title(stage), xy=(start, 1), xycoords=("data", "axes fraction"), xytext=(3, -3),
            textcoords="offset points", va="top", ha="left", fontsize=8, color="#555555",
        )  # fmt: skip
        start += _length(material, stage)


def _greedy_caption(material: Material, stages: list[StageInfo], measured: list[str]) -> str:
    several = len(find_chains(material.stages)) > 1
    marks = "The vertical line and the stages named above belong to the solid curve. " if several else ""
    missing = [title for quantity, title in _TITLES.items() if quantity not in measured]
    lacks = f" Not measured in this run: {', '.join(missing)}." if missing else ""
    return (
        "Along y⁺, teacher-forced: log π(y*) of the most likely token and the log-mass of all others, both summed over "
        "positions; entropy of the next-token distribution and the share of positions where the most likely token is "
        f"the response's own, both means over positions. {marks}{material.n_words(stages, 'level')}{lacks}"
    )


# ----------------------------------------------------------------------------------------------------
# A sweep


def facet_curves(facets: Mapping[str, Material]) -> Drawing | str:
    """Change of log π of y⁺, y⁻ and the greedy mass over each stage (rows), one colour for each facet of a sweep."""
    first, *others = facets.values()
    names = [set(facet.curves["stage"]) for facet in facets.values()]
    stages = [stage for stage in first.stages if all(stage.name in own for own in names)]
    if not stages or len(facets) > MOST_FACETS:
        return f"it needs a stage that all runs share and at most {MOST_FACETS} settings; there are {len(facets)}"
    colours = [to_hex(shade) for shade in colormaps["viridis"](np.linspace(0, 0.85, len(facets)))]
    room = 0.4 + 0.075 * max(map(len, facets))
    canvas, panels = lay_out(grid_cells(len(stages), len(_COLUMNS)), PanelSize(2.45, 2.0, room))
    labels: dict[Axes, list[EndLabel]] = {}
    for axes, (stage, probe) in zip(panels, [(s, p) for s in stages for p in _COLUMNS], strict=True):
        curves = [facet.curve(stage, probe) for facet in facets.values()]
        same = len(facets) > 1 and all(curves[0]["change"].equals(curve["change"]) for curve in curves[1:])
        labels[axes] = []
        for name, curve, colour in zip(facets, curves[:1] if same else curves, colours, strict=False):
            style = CurveStyle(colour, colour, SOLID, 1.8, "", name)
            if draw_curve(axes, curve.reset_index(drop=True), style, "change"):
                labels[axes].append(end_of(curve, "change", "all" if same else plain(name), style))
        zero_line(axes)
        dress(axes, f"{stage.name}: {_COLUMNS[probe]}", _ROWS["change"])
    title = "Change of log-probability over each stage, by setting" if others else "Change of log-probability"
    foot = "Mean over the probe examples of all seeds; bands: 95 % t-intervals over them, paired by example."
    head_and_foot(canvas, title, foot)
    write_ends(canvas, labels)
    return Drawing(canvas, title, foot)
