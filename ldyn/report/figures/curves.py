"""Curves of one run: the overview, and the paper's Figures 3 and 4, what one stage does to each probe."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ldyn.records import StageInfo
from ldyn.report.figures.canvas import (
    PanelSize,
    draw_probes,
    dress,
    grid_cells,
    head_and_foot,
    lay_out,
    two_columns,
    write_ends,
    zero_line,
)
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.stages import main_chain, stage_title
from ldyn.report.style import GREEDY, GROUPS, KEY_PROBES, family_of, order_probes

VISIBLE = 0.05
"""A change smaller than this share of the whole range cannot be seen on a linear axis."""
UNEVEN = 1 / 4
"""A stage with a smaller share of the whole range is flattened by a common linear axis."""
LINEAR_BELOW = 1.0
"""Nats: on the symmetric log scale, changes up to this are drawn linearly."""
_OVERVIEW_SIZE = PanelSize(width=3.3, height=3.1, label_room=1.75)
_TICKS = (-1000, -300, -100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100, 300, 1000)


def overview(material: Material) -> Drawing | str:
    """Change of log π for the key probes and the greedy mass along the main chain, side by side."""
    chain = main_chain(material.stages)
    if not chain:
        return "no stage has been evaluated"
    logarithmic = _needs_log_scale(material, chain)
    canvas, panels = lay_out(grid_cells(1, len(chain)), _OVERVIEW_SIZE)
    labels = {}
    for axes, stage in zip(panels, chain, strict=True):
        shown = [probe for probe in KEY_PROBES if probe in material.probes(stage)]
        labels[axes] = draw_probes(axes, material, stage, shown, "change")
        zero_line(axes)
        dress(axes, stage_title(stage), f"change of log π (nats{', symmetric log' if logarithmic else ''})")
    _common_scale(panels, logarithmic)
    title = "Change of log-probability since the start of each stage"
    head_and_foot(canvas, title, material.n_words(chain, "change"))
    write_ends(canvas, labels)
    return Drawing(canvas, title, _overview_caption(material, chain, logarithmic))


def _needs_log_scale(material: Material, chain: tuple[StageInfo, ...]) -> bool:
    """Whether a linear axis would hide a curve: the greedy mass beside the responses, or all of one stage."""
    spans = []
    for stage in chain:
        changes = pd.concat([material.curve(stage, probe)["change"] for probe in KEY_PROBES]).dropna()
        spans.append(float(changes.max() - changes.min()) if len(changes) > 1 else np.nan)
    greedy = [material.curve(stage, GREEDY)["change"].dropna().abs() for stage in chain]
    hidden = any(len(change) > 1 and change.max() < VISIBLE * np.nanmax(spans) for change in greedy)
    return hidden or (len(spans) > 1 and np.nanmin(spans) < UNEVEN * np.nanmax(spans))


def _common_scale(panels: list[Axes], logarithmic: bool) -> None:
    """One scale for all panels; a few nats up and a hundred down must both be seen."""
    if logarithmic:
        for axes in panels:
            axes.set_yscale("symlog", linthresh=LINEAR_BELOW, linscale=0.7)
    low = min(-2.5, *(axes.get_ylim()[0] for axes in panels))
    high = max(2.5, *(axes.get_ylim()[1] for axes in panels))
    if not logarithmic:
        low, high = min(low, -0.08 * high), max(high, -0.08 * low)  # room for the words on either side of no change
    for axes in panels:
        axes.set_ylim(low, high)
        if logarithmic:
            _mark_powers(axes, low, high)
        axes.axhspan(0, high, color="#F1F5FA", zorder=0)
        for words, height in (("more likely ↑", 0.985), ("less likely ↓", 0.015)):
            axes.text(
                0.015, height, words, transform=axes.transAxes, ha="left", va="top" if height > 0.5 else "bottom",
                fontsize=8, color="#5F6B76", zorder=1,
            )  # fmt: skip


def _mark_powers(axes: Axes, low: float, high: float) -> None:
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:+d}".replace("-", "−") if tick else "0" for tick in ticks])
    axes.minorticks_off()


def _overview_caption(material: Material, chain: tuple[StageInfo, ...], logarithmic: bool) -> str:
    beyond = f", linear up to ±{LINEAR_BELOW:g} nat and logarithmic beyond" if logarithmic else ""
    return (
        "Change of log π(y|x) of the key responses, and of the greedy mass log π(y*) along y⁺, since the first "
        f"evaluation of each stage. One scale for all panels{beyond}. {material.n_words(chain, 'change')}"
    )


_SIZE = PanelSize(width=3.15, height=2.2, label_room=1.72)
_GROUP_TITLES = {
    "chosen": "chosen y⁺ and its like",
    "rejected": "rejected y⁻ and its like",
    "irrelevant": "answers to other questions",
    "random": "shuffled words",
    "other": "probes of this run's own",
    "greedy": "greedy mass along y⁺",
}


def stage_panel(material: Material, stage: StageInfo) -> Drawing:
    """Change of log π(y|x) over one stage, one panel for each group; pairwise stages get the greedy mass as well."""
    groups = _groups(material, stage)
    canvas, panels = lay_out(two_columns(len(groups)), _SIZE)
    labels = {}
    for axes, (group, probes) in zip(panels, groups.items(), strict=True):
        labels[axes] = draw_probes(axes, material, stage, probes, "change")
        zero_line(axes)
        dress(axes, _GROUP_TITLES[group], "change (nats)")
    _even_room(panels)
    title = f"Change of log π(y|x) during {stage_title(stage)} (stage {stage.name})"
    head_and_foot(canvas, title, f"{material.n_words([stage], 'change')} Scales differ between panels.")
    write_ends(canvas, labels)
    return Drawing(canvas, title, _caption(material, stage))


def _groups(material: Material, stage: StageInfo) -> dict[str, list[str]]:
    seen = order_probes(material.probes(stage) - {GREEDY})
    groups = {group: [probe for probe in seen if family_of(probe).group == group] for group in (*GROUPS, "other")}
    if stage.kind == "pairwise" and GREEDY in material.probes(stage):
        groups["greedy"] = [GREEDY, "chosen"]
    return {group: probes for group, probes in groups.items() if probes}


def _even_room(panels: list[Axes]) -> None:
    """Leaves at least ±0.5 nats so that the noise of a flat curve does not fill its panel."""
    for axes in panels:
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -0.5), max(high, 0.5))


def _caption(material: Material, stage: StageInfo) -> str:
    missing = [key for key in ("chosen", "rejected") if key not in material.probes(stage)]
    lacks = f" Not observed in this run: {', '.join(missing)}." if missing else ""
    return (
        "log π(y|x), summed over the tokens of each response to the same question, minus its value before the stage's "
        f"first update. {material.n_words([stage], 'change')} Each panel has its own scale.{lacks}"
    )
