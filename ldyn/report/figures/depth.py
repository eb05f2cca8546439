"""The depth series: how strongly DPO squeezes, against the ranks that y⁻ is drawn from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ldyn.numerics.statistics import t_half_width
from ldyn.report.figures.canvas import EndLabel, finish, lay_out, zero_line
from ldyn.report.figures.material import Drawing
from ldyn.report.style import GREEDY, curve_style, end_label


def dose_response(by_depth: Mapping[str, pd.DataFrame]) -> Drawing | str:
    """Left the squeeze, right its two summands. ``by_depth``: of ``means_by_depth``, seeds × depths in nats."""
    if not by_depth:
        return "no seed has a run at every depth"
    squeeze = by_depth["squeeze"]
    canvas, [left, right] = lay_out(1, 2, 3.0, 2.7, 1.25)
    _draw(left, squeeze, curve_style(GREEDY).colour)
    ends = {right: [_labelled(right, by_depth[probe], probe) for probe in (GREEDY, "chosen")]}
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
    return finish(canvas, title, foot, about, ends)


def _draw(axes: Axes, values: pd.DataFrame, colour: str, shift: float = 0.0) -> None:
    places, mean = np.arange(values.shape[1]) + shift, values.mean()
    for _, of_seed in values.iterrows():
        axes.plot(places, of_seed, color=colour, linewidth=0.7, marker="o", markersize=2.5, alpha=0.4, zorder=2)
    half = np.nan_to_num(t_half_width(values.std(ddof=1), values.count()))
    axes.errorbar(places, mean, yerr=half, color=colour, fmt="o-", markersize=5, linewidth=1.8, capsize=3, zorder=3)


def _labelled(axes: Axes, values: pd.DataFrame, probe: str) -> EndLabel:
    style = curve_style(probe)
    shift = 0.0 if probe == GREEDY else 0.06  # bars beside each other
    _draw(axes, values, style.colour, shift)
    return EndLabel(end_label(probe), values.shape[1] - 1.0 + shift, float(values.mean().iloc[-1]), style.text_colour)
