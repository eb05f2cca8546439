"""The paper's Figure 2 from `ldyn toy`: distributions before and after, and how strongly a softmax is squeezed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ldyn.numerics.statistics import t_half_width
from ldyn.report.figures.canvas import EndLabel, PanelSize, grid_cells, head_and_foot, label_ends, lay_out, zero_line
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import GREEDY, curve_style

_BEFORE, _AFTER, _OTHERS = "#B9BEC5", "#3B4754", "#8391A0"
_REJECTED, _GREEDY = curve_style("rejected"), curve_style(GREEDY)
_PLACES = {"any": "", "peak": ", y⁻ on the peak", "valley": ", y⁻ in a valley"}


def toy_distributions(material: Material) -> Drawing:
    """Above p by label before and after, below the change of log p; one column for each start and place of y⁻."""
    table = material.tables["toy_distributions"]
    groups = [((str(key[0]), str(key[1])), rows) for key, rows in table.groupby(["start", "position"], sort=False)]
    canvas, panels = lay_out(grid_cells(2, len(groups)), PanelSize(1.75, 1.65, 0.08))
    for column, ((start, position), rows) in enumerate(groups):
        above, below = panels[column], panels[len(groups) + column]
        _draw_distribution(above, rows)
        above.set_title(f"{start}{_PLACES[position]}", fontsize=9.5)
        _draw_changes(below, rows)
        for axes in (above, below):
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.grid(visible=False, axis="x")
        below.set_xlabel("label, the most likely first")
    panels[0].set_ylabel("p")
    panels[len(groups)].set_ylabel("change of log p (nats)")
    panels[len(groups) - 1].legend(loc="center", frameon=False, fontsize=8.5, handlelength=1.2)  # most room there
    title = f"A softmax over {len(groups[0][1])} labels before and after y⁻ is pushed down"
    head_and_foot(canvas, title, f"One random start, {_pushing(table)}. Scales differ between panels.")
    return Drawing(canvas, title, _caption(table))


def _draw_distribution(axes: Axes, rows: pd.DataFrame) -> None:
    label, before, after = rows["label"].to_numpy() + 1, np.exp(rows["before"]), np.exp(rows["after"])
    axes.bar(label, before, width=1.0, color=_BEFORE, label="before")
    axes.step(label, after, where="mid", color=_AFTER, linewidth=1.3, label="after")
    axes.set_ylim(0, 1.22 * max(before.max(), after.max()))
    for column, style, text in (("is_greedy", _GREEDY, "y*"), ("is_rejected", _REJECTED, "y⁻")):
        [place] = np.flatnonzero(rows[column])
        top = max(before.iloc[place], after.iloc[place])
        axes.annotate(
            text, (label[place], top), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=9,
            color=style.text_colour, fontweight="bold", arrowprops={"arrowstyle": "-", "color": style.colour, "lw": 1},
        )  # fmt: skip


def _draw_changes(axes: Axes, rows: pd.DataFrame) -> None:
    """Bars for all labels but y⁻, whose change is much the largest and is written instead."""
    kept = rows[~rows["is_rejected"]]
    label, change = kept["label"].to_numpy() + 1, (kept["after"] - kept["before"]).to_numpy()
    axes.bar(label, change, width=0.8, color=np.where(kept["is_greedy"], _GREEDY.colour, _OTHERS))
    zero_line(axes)
    axes.margins(y=0.25)
    rejected = rows[rows["is_rejected"]]
    place, own = rejected["label"].to_numpy() + 1, float((rejected["after"] - rejected["before"]).iloc[0])
    axes.plot(place, [0], marker="v", color=_REJECTED.colour, markersize=6, zorder=4, clip_on=False)
    axes.text(
        0.03, 0.97, f"y⁻ {own:+.1f}".replace("-", "−"), transform=axes.transAxes, color=_REJECTED.text_colour,
        fontsize=9, fontweight="bold", va="top",
    )  # fmt: skip


def _pushing(table: pd.DataFrame) -> str:
    steps, size = int(table["steps"].iloc[0]), float(table["step_size"].iloc[0])
    return f"{steps} gradient step{'s' * (steps > 1)} of size {size:g} that lower log p(y⁻)"


def _caption(table: pd.DataFrame) -> str:
    return (
        f"The paper's Figure 2: {_pushing(table)}, from one random start. Above: p of each label before (bars) and "
        "after (line). Below: the change of log p of every label but y⁻, whose own is written; the bar of y* is black. "
        "Each panel has its own scale."
    )


# ----------------------------------------------------------------------------------------------------
# How strongly

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
    changes = _change_of_others(material.tables["toy"])
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
    return Drawing(canvas, title, _strength_caption(steps, n, middle))


def _change_of_others(table: pd.DataFrame) -> pd.DataFrame:
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
    for (start, position), cloud in _conditions(rows):
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
    for (start, position), line in _conditions(rows):
        by_size = line.groupby("step_size")["change"]
        mean, n = by_size.mean(), int(by_size.size().min())
        half = np.nan_to_num(t_half_width(by_size.std(ddof=1), n))
        x, colour = mean.index.to_numpy(float), _COLOURS[start]
        axes.plot(x, mean, color=colour, marker=_MARKERS[position], markersize=5, linestyle=_DASHES[position], zorder=3)
        axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
        labels.append(EndLabel(start + _NAMES[position], x[-1], float(mean.iloc[-1]), colour))
    means = rows.groupby(["start", "position", "step_size"])["change"].mean()
    _limit(axes, means.min(), means.max())
    return labels


def _conditions(rows: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    return [((str(key[0]), str(key[1])), part) for key, part in rows.groupby(["start", "position"], sort=False)]


def _limit(axes: Axes, low: float, high: float) -> None:
    """Room on both sides of zero, and of the extremes on a log scale."""
    axes.set_ylim(min(-2 * _LINEAR_BELOW, 1.6 * low), max(2 * _LINEAR_BELOW, 3 * high))


def _strength_caption(steps: int, n: int, step_size: float) -> str:
    return (
        f"Change of log p of a typical other label (mean over the labels that are y⁻ or y* at no place) over {steps} "
        f"gradient steps that lower log p(y⁻). Above: each of n = {n} random starts at step size {step_size:g}, over "
        "p(y⁻) before the first step. Below: their mean over step sizes, with 95 % t-intervals. In theory one step "
        "changes such a label by η'(p + p(y⁻) − ‖p‖²) to first order. Vertical axes are linear up to "
        f"±{_LINEAR_BELOW:g} nats and logarithmic beyond."
    )
