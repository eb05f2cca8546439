"""A trainer's own log of batch means: one panel for each quantity logged, over the steps."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from ldyn.report.figures.canvas import dress, finish, lay_out
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import curve_style, plain
from ldyn.store.batch_logs import BATCH_MEANS

PANELS = {
    "logps": ("log π as logged", "nats"),
    "change": ("Change of log π since the reference (rewards / β)", "nats"),
    "rewards": ("Rewards, β (log π − log π_ref)", "reward"),
    "rewards/margins": ("Margin of the rewards", "reward"),
    "rewards/accuracies": ("Pairs with the larger reward for chosen", "share"),
    "entropy": ("Entropy", "nats per token"),
    "loss": ("Loss", "loss"),
}
"""Panel -> title and unit; a panel that is no metric has those of chosen and rejected."""
SMOOTHED = 20
"""Rows of a curve from which on a running mean over a twentieth of them is drawn, and the rows themselves pale."""


def batch_mean_curves(material: Material) -> Drawing | str:
    """Training solid, evaluation dashed with a mark at every point."""
    table = material.tables[BATCH_MEANS]
    panel = table["metric"].str.replace(r"/(chosen|rejected)$", "", regex=True)
    drawn = [
        (stage, name, rows)
        for stage, own in table.groupby("stage", sort=False)
        for name in PANELS
        if len(rows := own[panel.loc[own.index] == name])
    ]
    canvas, panels = lay_out(-(-len(drawn) // 2), min(2, len(drawn)), 3.15, 2.2, count=len(drawn))
    for axes, (stage, name, rows) in zip(panels, drawn, strict=True):
        title, unit = PANELS[name]
        _draw(axes, rows)
        dress(axes, plain(f"{stage}: {title}" if table["stage"].nunique() > 1 else title), unit, "updates")
    about = (
        f"Where there are {SMOOTHED} rows or more, the rows are pale and a running mean over 1/20 of them is drawn. "
        "Dashed: the evaluation set, the same pairs at every point."
    )
    foot = "Means over the batches since the row before: other pairs at every step, so there are no intervals."
    return finish(canvas, "What the trainer logged, batch by batch", foot, about)


def _draw(axes: Axes, table: pd.DataFrame) -> None:
    for (metric, split), rows in table.sort_values("step").groupby(["metric", "split"], sort=False):
        name = str(metric).rpartition("/")[2]
        colour = curve_style(name if name in ("chosen", "rejected") else "random_permute").colour
        steps, values = rows["step"].to_numpy(), rows["value"].reset_index(drop=True)
        if split == "test":
            axes.plot(steps, values, color=colour, linestyle=(0, (4, 2)), marker="o", label=f"{name}, evaluation")
            continue
        window = len(values) // SMOOTHED or 1
        if window > 1:
            axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.3)
        smooth = values.rolling(window, min_periods=1).mean()
        axes.plot(steps, smooth, color=colour, marker="" if len(values) > 1 else "o", label=name)
