"""What a reward model gives to each kind of response while it is trained."""

from __future__ import annotations

from matplotlib.axes import Axes

from ldyn.report.figures.canvas import EndLabel, dress, head_and_foot, lay_out, room_for, write_ends
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import curve_style, end_label, order_probes


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
    head_and_foot(canvas, title, foot)
    write_ends(canvas, ends)
    return Drawing(canvas, title, f"The reward model's output while it is trained. {foot}")
