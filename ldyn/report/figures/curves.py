"""Curves of one run or of several seeds: the overview, the paper's Figures 3 and 4, and rewards."""

from __future__ import annotations

from matplotlib.axes import Axes

from ldyn.records import StageInfo
from ldyn.report.figures.canvas import (
    EndLabel,
    draw_probes,
    dress,
    finish,
    lay_out,
    room_for,
    zero_line,
)
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.stages import main_chain, stage_title
from ldyn.report.style import GREEDY, GROUPS, KEY_PROBES, curve_style, end_label, family_of, order_probes

LABEL_ROOM = 1.75  # inches, for the longest name of a probe
_GROUP_TITLES = {
    "chosen": "chosen y⁺ and its like",
    "rejected": "rejected y⁻ and its like",
    "irrelevant": "answers to other questions",
    "random": "shuffled words",
    "other": "probes of this run's own",
    "greedy": "greedy mass along y⁺",
}


def overview(material: Material) -> Drawing | str:
    """Change of log π for the key probes and the greedy mass along the main chain; each stage has its own scale."""
    chain = main_chain(material.stages)
    if not chain:
        return "no stage has been evaluated"
    canvas, panels = lay_out(1, len(chain), 3.3, 3.1, LABEL_ROOM)
    labels = {}
    titles = [stage_title(stage) for stage in chain]
    for axes, stage, title in zip(panels, chain, titles, strict=True):
        shown = [probe for probe in KEY_PROBES if probe in material.probes(stage)]
        labels[axes] = draw_probes(axes, material, stage, shown)
        is_one_of_several = titles.count(title) > 1  # rounds
        dress(axes, f"{title} ({stage.name})" if is_one_of_several else title, "change of log π (nats)")
        _mark_directions(axes)
    title = "Change of log-probability since the start of each stage"
    foot = f"{material.n_words(chain, 'change')} Scales differ between panels."
    about = "Change of log π(y|x) of the key responses, and of the greedy mass log π(y*) along y⁺, over each stage."
    return finish(canvas, title, foot, about, labels)


def _mark_directions(axes: Axes) -> None:
    """The side of zero on which responses became more likely, with room for the words on either side."""
    zero_line(axes)
    low, high = axes.get_ylim()
    low, high = min(low, -2.5, -0.08 * high), max(high, 2.5, -0.08 * low)
    axes.set_ylim(low, high)
    axes.axhspan(0, high, color="#F1F5FA", zorder=0)
    for words, height, side in (("more likely ↑", 0.985, "top"), ("less likely ↓", 0.015, "bottom")):
        axes.text(0.015, height, words, transform=axes.transAxes, va=side, fontsize=8, color="#5F6B76", zorder=1)


def stage_panel(material: Material, stage: StageInfo) -> Drawing:
    """Change of log π(y|x) over one stage, one panel for each group; pairwise stages get the greedy mass as well."""
    seen = order_probes(material.probes(stage) - {GREEDY})
    groups = {group: [probe for probe in seen if family_of(probe).group == group] for group in (*GROUPS, "other")}
    if stage.kind == "pairwise" and GREEDY in material.probes(stage):
        groups["greedy"] = [GREEDY, "chosen"]
    groups = {group: probes for group, probes in groups.items() if probes}
    columns = min(2, len(groups))
    canvas, panels = lay_out(-(-len(groups) // 2), columns, 3.15, 2.2, LABEL_ROOM, count=len(groups))
    labels = {}
    for axes, (group, probes) in zip(panels, groups.items(), strict=True):
        labels[axes] = draw_probes(axes, material, stage, probes)
        zero_line(axes)
        dress(axes, _GROUP_TITLES[group], "change (nats)")
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -0.5), max(high, 0.5))  # the noise of a flat curve does not fill its panel
    title = f"Change of log π(y|x) during {stage_title(stage)} (stage {stage.name})"
    foot = f"{material.n_words([stage], 'change')} Scales differ between panels."
    missing = [key for key in ("chosen", "rejected") if key not in material.probes(stage)]
    lacks = f" Not observed in this run: {', '.join(missing)}." if missing else ""
    about = "log π(y|x), summed over the tokens of each response, minus its value before the stage's first update."
    return finish(canvas, title, foot, about + lacks, labels)


def reward_curves(material: Material) -> Drawing:
    """Mean reward of each probe over the updates; one panel for each split."""
    table = material.tables["rewards"]
    means = table.pivot_table("reward", "step", ["split", "probe"])
    splits, probes = sorted(set(table["split"]), reverse=True), order_probes(set(table["probe"]))
    canvas, panels = lay_out(1, len(splits), 3.4, 2.6, room_for(map(end_label, probes)))
    ends: dict[Axes, list[EndLabel]] = {}
    for axes, split in zip(panels, splits, strict=True):
        ends[axes] = []
        for probe in probes:
            if (split, probe) in means:
                curve, style = means[split, probe], curve_style(probe)
                axes.plot(curve.index, curve, color=style.colour, linewidth=style.width)
                ends[axes].append(
                    EndLabel(end_label(probe), float(curve.index[-1]), float(curve.iloc[-1]), style.text_colour)
                )
        dress(axes, f"{split} questions", "reward", "updates")
    title, foot = "Reward of each kind of response", "Mean over the questions of a split."
    return finish(canvas, title, foot, "The reward model's output while it is trained.", ends)
