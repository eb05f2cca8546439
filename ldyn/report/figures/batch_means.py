"""A trainer's own log of batch means: one panel for each quantity logged, over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from ldyn.report.figures.canvas import EndLabel, dress, finish, lay_out, room_for
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import CurveStyle, curve_style, plain
from ldyn.store.batch_logs import BATCH_MEANS

# title and unit -> metrics of the panel, with the name at the end of the line
PANELS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("log π as logged", "nats"): {"logps/chosen": "chosen", "logps/rejected": "rejected"},
    ("Change of log π since the reference (rewards / β)", "nats"): {
        "change/chosen": "chosen",
        "change/rejected": "rejected",
    },
    ("Rewards, β (log π − log π_ref)", "reward"): {"rewards/chosen": "chosen", "rewards/rejected": "rejected"},
    ("Margin of the rewards", "reward"): {"rewards/margins": "margin"},
    ("Pairs with the larger reward for chosen", "share"): {"rewards/accuracies": "accuracy"},
    ("Entropy", "nats per token"): {"entropy": "entropy"},
    ("Loss", "loss"): {"loss": "loss"},
}
SMOOTHED = 20
"""Rows of a curve from which on a running mean over a twentieth of them is drawn, and the rows themselves pale."""


def batch_mean_curves(material: Material) -> Drawing | str:
    """Training solid, evaluation dashed with a mark at every point."""
    table = material.tables[BATCH_MEANS]
    drawn = [
        (stage, title, metrics)
        for stage in dict.fromkeys(table["stage"])
        for title, metrics in PANELS.items()
        if table[table["stage"] == stage]["metric"].isin(list(metrics)).any()
    ]
    columns = min(2, len(drawn))
    room = room_for([f"{name}, evaluation" for *_, metrics in drawn for name in metrics.values()])
    canvas, panels = lay_out(-(-len(drawn) // 2), columns, 3.15, 2.2, room, count=len(drawn))
    ends: dict[Axes, list[EndLabel]] = {}
    several = table["stage"].nunique() > 1
    for axes, (stage, (title, unit), metrics) in zip(panels, drawn, strict=True):
        ends[axes] = _draw(axes, table[table["stage"] == stage], metrics)
        dress(axes, plain(f"{stage}: {title}" if several else title), unit, "updates")
    head = "What the trainer logged, batch by batch"
    foot = "Means over the batches since the row before: other pairs at every step, so there are no intervals."
    smooth = (
        f"Where there are {SMOOTHED} rows or more, the rows are pale and a running mean over 1/20 of them is drawn."
    )
    about = f"{smooth} Dashed: the evaluation set, the same pairs at every point."
    return finish(canvas, head, foot, about, ends)


def _draw(axes: Axes, table: pd.DataFrame, metrics: Mapping[str, str]) -> list[EndLabel]:
    found = []
    for metric, name in metrics.items():
        style = curve_style(name if name in ("chosen", "rejected") else "random_permute")
        for split, suffix in (("train", ""), ("test", ", evaluation")):
            rows = table[(table["metric"] == metric) & (table["split"] == split)].sort_values("step")
            if len(rows):
                last = _line(axes, rows["step"].to_list(), rows["value"], style, split == "test")
                found.append(EndLabel(name + suffix, float(rows["step"].iloc[-1]), last, style.text_colour))
    return found


def _line(axes: Axes, steps: Sequence[int], values: pd.Series, style: CurveStyle, is_evaluation: bool) -> float:
    """Draw one curve; returns its last value."""
    if is_evaluation:
        axes.plot(steps, values, color=style.colour, linewidth=1.4, linestyle=(0, (4, 2)), marker="o", markersize=3)
        return float(values.iloc[-1])
    window = len(values) // SMOOTHED if len(values) >= SMOOTHED else 1
    if window > 1:
        axes.plot(steps, values, color=style.colour, linewidth=0.8, alpha=0.3)
    smooth = values.rolling(window, min_periods=1).mean()
    axes.plot(steps, smooth, color=style.colour, linewidth=1.8, marker="" if len(values) > 1 else "o")
    return float(smooth.iloc[-1])
