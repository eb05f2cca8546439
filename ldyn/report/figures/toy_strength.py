"""How strongly a softmax is squeezed, by peakiness, p(y⁻) and step size: from `ldyn toy`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from ldyn.numerics.statistics import student_t_quantile
from ldyn.report.figures.axes import zero_line
from ldyn.report.figures.labels import EndLabel, label_ends
from ldyn.report.figures.layout import PanelSize, grid_cells, head_and_foot, lay_out
from ldyn.report.figures.material import Drawing, Material

_COLOURS = {"uniform": "#7A7A7A", "flat": "#1A8F8F", "peaky": "#6A2C91"}
"""Of the starts; no probe has these hues. The place of y⁻ is told by marker and dash."""
_MARKERS = {"any": "o", "peak": "^", "valley": "v"}
_DASHES = {"any": "-", "peak": (0, (5, 2)), "valley": "-"}
_NAMES = {"any": "", "peak": ", y⁻ on peak", "valley": ", y⁻ in valley"}
_LINEAR_BELOW = 0.01
"""Nats: the axes are linear up to this and logarithmic beyond."""
_TICKS = (-10, -1, -0.1, -0.01, 0, 0.01, 0.1, 1)
_KEYS = ["labels", "start", "position", "step_size", "unit"]


def toy_strength(material: Material) -> Drawing:
    """What a typical other label loses: above over p(y⁻) for single starts, below over step size in the mean."""
    changes = _changes(material.tables["toy"])
    sizes, step_sizes = sorted(changes["labels"].unique()), sorted(changes["step_size"].unique())
    middle = step_sizes[len(step_sizes) // 2]
    canvas, panels = lay_out(grid_cells(2, len(sizes)), PanelSize(2.7, 2.0, 1.75))
    for axes, size in zip(panels, sizes, strict=False):
        rows = changes[(changes["labels"] == size) & (changes["step_size"] == middle)]
        _dress(axes, f"V = {size}, step size {middle:g}", "p(y⁻) before the first step (log)")
        label_ends(axes, _draw_starts(axes, rows), canvas.dpi)
    for axes, size in zip(panels[len(sizes) :], sizes, strict=True):
        _dress(axes, f"V = {size}, mean over starts", "step size η' (log)")
        axes.set_xticks(step_sizes, [f"{step_size:g}" for step_size in step_sizes])
        label_ends(axes, _draw_means(axes, changes[changes["labels"] == size]), canvas.dpi)
    n, steps = changes["unit"].nunique(), int(material.tables["toy"]["step"].max())
    title = f"What other labels gain or lose in {steps} step{'s' * (steps > 1)} that push y⁻ down"
    head_and_foot(
        canvas, title, f"n = {n} random starts; bands: 95 % t-intervals over them. Vertical axes: symmetric log."
    )
    return Drawing(canvas, title, _caption(steps, n, middle), _alt(changes, middle))


def _changes(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each start and condition: p(y⁻) before, and the change of a typical other label over all steps."""
    first, last = (table[table["step"] == step].set_index(_KEYS) for step in (0, table["step"].max()))
    change = last["others"] - first["others"]
    return pd.DataFrame({"change": change, "p_rejected": np.exp(first["logp_rejected"])}).reset_index()


def _dress(axes: Axes, title: str, x_label: str) -> None:
    axes.set_title(title)
    axes.set_xscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel("change of log p (nats)")
    axes.set_yscale("symlog", linthresh=_LINEAR_BELOW, linscale=0.6)
    axes.set_yticks(_TICKS)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0"))
    axes.minorticks_off()
    zero_line(axes)


def _draw_starts(axes: Axes, rows: pd.DataFrame) -> list[EndLabel]:
    """A point for each start; each cloud is labelled from its middle."""
    labels = []
    for (start, position), cloud in _groups(rows):
        axes.scatter(
            cloud["p_rejected"], cloud["change"], s=14, marker=_MARKERS[position], color=_COLOURS[start], alpha=0.55,
            linewidths=0, zorder=3,
        )  # fmt: skip
        middle = cloud[["p_rejected", "change"]].median()
        labels.append(EndLabel(start + _NAMES[position], middle["p_rejected"], middle["change"], _COLOURS[start]))
    _limit(axes, rows["change"].min(), rows["change"].max())
    return labels


def _draw_means(axes: Axes, rows: pd.DataFrame) -> list[EndLabel]:
    """A line for each kind of start and place of y⁻, with its band."""
    labels = []
    for (start, position), line in _groups(rows):
        by_size = line.groupby("step_size")["change"]
        mean, n = by_size.mean(), int(by_size.size().min())
        half = by_size.std(ddof=1) * student_t_quantile(n - 1) / n**0.5 if n > 1 else 0.0 * mean
        x, colour = mean.index.to_numpy(float), _COLOURS[start]
        axes.plot(x, mean, color=colour, marker=_MARKERS[position], markersize=5, linestyle=_DASHES[position], zorder=3)
        axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
        labels.append(EndLabel(start + _NAMES[position], x[-1], float(mean.iloc[-1]), colour))
    means = rows.groupby(["start", "position", "step_size"])["change"].mean()
    _limit(axes, means.min(), means.max())
    return labels


def _groups(rows: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    return [((str(key[0]), str(key[1])), part) for key, part in rows.groupby(["start", "position"], sort=False)]


def _limit(axes: Axes, low: float, high: float) -> None:
    """Room on both sides of zero, and of the extremes on a log scale."""
    axes.set_ylim(min(-2 * _LINEAR_BELOW, 1.6 * low), max(2 * _LINEAR_BELOW, 3 * high))


def _caption(steps: int, n: int, step_size: float) -> str:
    return (
        f"Change of log p of a typical other label (mean over the labels that are y⁻ or y* at no place) over {steps} "
        f"gradient steps that lower log p(y⁻). Above: each of n = {n} random starts at step size {step_size:g}, over "
        "p(y⁻) before the first step. Below: their mean over step sizes, with 95 % t-intervals. In theory one step "
        "changes such a label by η'(p + p(y⁻) − ‖p‖²) to first order. Vertical axes are linear up to "
        f"±{_LINEAR_BELOW:g} nats and logarithmic beyond."
    )


def _alt(changes: pd.DataFrame, step_size: float) -> str:
    rows = changes[changes["step_size"] == step_size]
    parts = [
        f"V {size}, {start}{_NAMES[position]} {cloud['change'].mean():+.2g}"
        for size in sorted(rows["labels"].unique())
        for (start, position), cloud in _groups(rows[rows["labels"] == size])
    ]
    return (
        f"Scatter plots above, line charts below. Mean change of log p at step size {step_size:g}: {'; '.join(parts)}."
    )
