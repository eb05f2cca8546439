"""The depth series: how strongly DPO squeezes, against the ranks that y⁻ is drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ldyn.numerics.statistics import t_half_width
from ldyn.report.figures.canvas import finish, lay_out, name_lines, zero_line
from ldyn.report.figures.material import Drawing
from ldyn.report.style import GREEDY, curve_style, end_label


def dose_response(by_depth: Mapping[str, pd.DataFrame]) -> Drawing | str:
    """Left the squeeze, right its two summands. ``by_depth``: of ``means_by_depth``, seeds × depths in nats."""
    if not by_depth:
        return "no seed has a run at every depth"
    squeeze = by_depth["squeeze"]
    canvas, [left, right] = lay_out(1, 2, 3.0, 2.7)
    _draw(left, squeeze, GREEDY)
    for probe, shift in ((GREEDY, 0.0), ("chosen", 0.06)):  # bars beside each other
        _draw(right, by_depth[probe], probe, shift)
    name_lines(right)
    for axes, title in ((left, "squeeze"), (right, "its two summands")):
        zero_line(axes)
        axes.set_title(title)
        axes.set_xticks(range(len(squeeze.columns)), [name.removeprefix("ranks ") for name in squeeze.columns])
        axes.set_xlim(-0.35, len(squeeze.columns) - 0.65)
        axes.set_xlabel("ranks that y⁻ is drawn from: deeper →")
    left.set_ylabel("squeeze (nats)")
    right.set_ylabel("change of log π (nats)")
    title = "How strongly DPO squeezes, by the depth of y⁻ in the tail"
    foot = f"Small points: {len(squeeze)} seeds, a line each. Dots and bars: mean and 95 % t-interval over them."
    about = (
        "Squeeze of the DPO stage: the change of the greedy mass log π(y*) along y⁺ minus the change of y⁺. Within a "
        "seed the world, the questions and y⁺ are the same at every depth."
    )
    return finish(canvas, title, foot, about)


def _draw(axes: Axes, values: pd.DataFrame, probe: str, shift: float = 0.0) -> None:
    places, mean, colour = np.arange(values.shape[1]) + shift, values.mean(), curve_style(probe).colour
    for _, of_seed in values.iterrows():
        axes.plot(places, of_seed, color=colour, linewidth=0.7, marker="o", markersize=2.5, alpha=0.4, zorder=2)
    half = np.nan_to_num(t_half_width(values.std(ddof=1), values.count()))
    look: dict[str, Any] = {"fmt": "o-", "markersize": 5, "linewidth": 1.8, "capsize": 3, "zorder": 3}
    axes.errorbar(places, mean, yerr=half, color=colour, label=end_label(probe), **look)
