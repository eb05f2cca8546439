"""The paper's Figures 1 and 2, from `ldyn images` and `ldyn toy`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ldyn.report.figures.canvas import finish, lay_out, zero_line
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import GREEDY, curve_style

_BEFORE, _AFTER, _OTHERS = "#B9BEC5", "#3B4754", "#8391A0"
_REJECTED, _GREEDY = curve_style("rejected"), curve_style(GREEDY)
_PLACES = {"any": "", "peak": ", y⁻ on the peak", "valley": ", y⁻ in a valley"}


def toy_distributions(material: Material) -> Drawing:
    """Above p by label before and after, below the change of log p; one column for each start and place of y⁻."""
    table = material.tables["toy_distributions"]
    groups = [((str(key[0]), str(key[1])), rows) for key, rows in table.groupby(["start", "position"], sort=False)]
    canvas, panels = lay_out(2, len(groups), 1.75, 1.65, 0.08)
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
    steps, size = int(table["steps"].iloc[0]), float(table["step_size"].iloc[0])
    pushing = f"{steps} gradient step{'s' * (steps > 1)} of size {size:g} that lower log p(y⁻)"
    title = f"A softmax over {len(groups[0][1])} labels before and after y⁻ is pushed down"
    about = (
        "The paper's Figure 2. Above: p of each label before (bars) and after (line). Below: the change of log p of "
        "every label but y⁻, whose own is written; the bar of y* is black."
    )
    return finish(canvas, title, f"One random start, {pushing}. Scales differ between panels.", about)


def _draw_distribution(axes: Axes, rows: pd.DataFrame) -> None:
    label, before, after = rows["label"].to_numpy() + 1, np.exp(rows["before"]), np.exp(rows["after"])
    axes.bar(label, before, width=1.0, color=_BEFORE, label="before")
    axes.step(label, after, where="mid", color=_AFTER, linewidth=1.3, label="after")
    axes.set_ylim(0, 1.22 * max(before.max(), after.max()))
    # Where y⁻ is the peak, y* lies beside it: it is written to the right.
    for column, style, text, aside in (("is_greedy", _GREEDY, "y*", 11), ("is_rejected", _REJECTED, "y⁻", 0)):
        [place] = np.flatnonzero(rows[column])
        top = max(before.iloc[place], after.iloc[place])
        axes.annotate(
            text, (label[place], top), xytext=(aside, 9), textcoords="offset points", ha="center", fontsize=9,
            color=style.text_colour, fontweight="bold", arrowprops={"arrowstyle": "-", "color": style.colour, "lw": 1},
        )  # fmt: skip


def _draw_changes(axes: Axes, rows: pd.DataFrame) -> None:
    """Bars for all labels but y⁻, whose change is much the largest and is written instead."""
    kept, rejected = rows[~rows["is_rejected"]], rows[rows["is_rejected"]]
    change = (kept["after"] - kept["before"]).to_numpy()
    axes.bar(kept["label"] + 1, change, width=0.8, color=np.where(kept["is_greedy"], _GREEDY.colour, _OTHERS))
    zero_line(axes)
    axes.margins(y=0.25)
    axes.plot(rejected["label"] + 1, [0], marker="v", color=_REJECTED.colour, markersize=6, zorder=4, clip_on=False)
    own = f"y⁻ {float((rejected['after'] - rejected['before']).iloc[0]):+.1f}".replace("-", "−")
    look: dict[str, Any] = {"color": _REJECTED.text_colour, "fontsize": 9, "fontweight": "bold", "va": "top"}
    axes.text(0.03, 0.97, own, transform=axes.transAxes, **look)


def images_influence(material: Material) -> Drawing:
    """Accumulated change of log π on images of each class (columns), by the class that was learned (rows)."""
    table = material.tables["images_influence"]
    canvas, panels = lay_out(1, 2, 3.9, 3.9, 0.35)
    shown = {
        "of the class that was learned: log π(row | image)": table[table["label"] == table["learned"]],
        "of the image's own class: log π(column | image)": table[table["label"] == table["observed"]],
    }
    for axes, (name, rows) in zip(panels, shown.items(), strict=True):
        matrix = rows.groupby(["learned", "observed"])["actual"].mean().unstack().to_numpy(dtype=np.float64)
        power = _draw_matrix(axes, matrix)
        axes.set_title(name if power == 0 else f"{name}, in $10^{{{power}}}$ nats", fontsize=9.5)
    seeds = table["seed"].nunique()
    title = "Accumulated influence: change of log π on held-out images (nats)"
    foot = (
        f"Mean over {seeds} seed{'s' * (seeds > 1)}. Each panel has its own colours: purple below zero, orange above."
    )
    about = (
        "Change of log π on held-out images of each class (columns), summed over all steps of gradient descent on "
        "images of one class (rows). Left: of the class that was learned, so a row says where learning it raises it. "
        "Right: of the image's own class, which off the diagonal is interference."
    )
    return finish(canvas, title, foot, about)


def _draw_matrix(axes: Axes, matrix: NDArray[np.float64]) -> int:
    """Returns the power of ten in which the numbers are written: 0, or less where all are small."""
    widest = float(np.abs(matrix).max()) or 1.0
    power = 0 if widest >= 0.1 else math.floor(math.log10(widest))
    decimals = 0 if widest >= 10 else 1 if widest >= 1 or power else 2
    axes.imshow(matrix, cmap="PuOr_r", vmin=-widest, vmax=widest)
    for (row, column), value in np.ndenumerate(matrix):
        colour = "white" if abs(value) > 0.62 * widest else "#222222"
        text = f"{value / 10.0**power:z.{decimals}f}".replace("-", "−")
        axes.text(column, row, text, ha="center", va="center", fontsize=8.5 - decimals / 2, color=colour)
    classes = range(len(matrix))
    axes.set(xticks=classes, yticks=classes, xlabel="class of the observed image", ylabel="class learned")
    axes.grid(visible=False)
    return power
