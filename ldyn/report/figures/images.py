"""The paper's Figure 1 from `ldyn images`: who moves whom among classes of images, and how well theory predicts it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ldyn.findings.claims_kernel import relative_error, slope_and_correlation
from ldyn.report.figures.canvas import PanelSize, grid_cells, head_and_foot, lay_out, zero_line
from ldyn.report.figures.material import Drawing, Material

_COLOURS = "PuOr_r"
"""Diverging, told apart with every kind of colour vision: purple below zero, orange above."""
_DARK = 0.62
"""Share of the colour range beyond which numbers are written in white."""


def images_influence(material: Material) -> Drawing:
    """Accumulated change of log π on images of each class (columns), by the class that was learned (rows)."""
    table = material.tables["images_influence"]
    of_learned = _matrix(table[table["label"] == table["learned"]])
    of_own = _matrix(table[table["label"] == table["observed"]])
    canvas, panels = lay_out(grid_cells(1, 2), PanelSize(3.9, 3.9, 0.35))
    _draw(panels[0], of_learned, "of the class that was learned: log π(row | image)")
    _draw(panels[1], of_own, "of the image's own class: log π(column | image)")
    seeds = table["seed"].nunique()
    title = "Accumulated influence: change of log π on held-out images (nats)"
    means = f"Mean over {seeds} seed{'s' * (seeds > 1)}"
    head_and_foot(canvas, title, f"{means}. Each panel has its own colours: purple below zero, orange above.")
    return Drawing(canvas, title, _caption(means))


def _matrix(rows: pd.DataFrame) -> NDArray[np.float64]:
    """Classes learned × observed, mean over seeds."""
    wide = rows.groupby(["learned", "observed"])["actual"].mean().unstack()
    return wide.to_numpy(dtype=np.float64)


def _draw(axes: Axes, matrix: NDArray[np.float64], title: str) -> None:
    widest = float(np.abs(matrix).max()) or 1.0
    axes.imshow(matrix, cmap=_COLOURS, vmin=-widest, vmax=widest)
    for (row, column), value in np.ndenumerate(matrix):
        colour = "white" if abs(value) > _DARK * widest else "#222222"
        text = str(round(value)).replace("-", "−")
        axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=colour)
    classes = range(len(matrix))
    axes.set_xticks(classes, [str(label) for label in classes])
    axes.set_yticks(classes, [str(label) for label in classes])
    axes.set_xlabel("class of the observed image")
    axes.set_ylabel("class learned")
    axes.set_title(title, fontsize=9.5)
    axes.grid(visible=False)


def _caption(means: str) -> str:
    return (
        "Change of log π on held-out images of each class (columns), summed over all steps of gradient descent on "
        "images of one class (rows). Left: of the class that was learned, so a row says where learning it raises it. "
        f"Right: of the image's own class, which off the diagonal is interference. {means}."
    )


_POINTS, _LINE, _MARKED = "#33658A", "#444444", "#A82E00"
_ALIKE = ((4, 9), (9, 4))
_SHOWN = 4000
"""Points at most; a seeded draw of the rest would only darken the picture."""


def images_prediction(material: Material) -> Drawing:
    """The theory's prediction of single steps, at the learning rate and at a tenth of it; then likeness by pixels."""
    changes, table = material.tables["images_changes"], material.tables["images_influence"]
    canvas, panels = lay_out(grid_cells(1, 3), PanelSize(2.9, 2.9, 0.15))
    small = changes.assign(predicted=changes["predicted"] / 10, actual=changes["actual_small"])
    agreements = []
    for axes, rows, title in zip(panels, (changes, small), ("single steps", "at a tenth of the step"), strict=False):
        agreements.append(_draw_steps(axes, rows))
        axes.set_title(title)
    _draw_likeness(panels[2], table)
    title = "Does A·K·G say what a step does, and do alike classes move together?"
    seeds, steps = changes["seed"].nunique(), changes.groupby("seed")["step"].nunique().sum()
    foot = f"{len(changes):,} changes: {steps} steps in {seeds} seeds, on held-out images of all classes."
    head_and_foot(canvas, title, f"{foot} Right: mean over seeds.")
    return Drawing(canvas, title, _prediction_caption(foot, agreements))


def _draw_steps(axes: Axes, rows: pd.DataFrame) -> str:
    """Points with the line of a perfect prediction; how well they agree, in words."""
    shown = rows.sample(min(_SHOWN, len(rows)), random_state=0)
    predicted, actual = rows["predicted"].to_numpy(float), rows["actual"].to_numpy(float)
    axes.scatter(shown["predicted"], shown["actual"], s=5, color=_POINTS, alpha=0.35, linewidths=0, zorder=3)
    low, high = min(predicted.min(), actual.min()), max(predicted.max(), actual.max())
    axes.plot([low, high], [low, high], color=_LINE, linewidth=1, zorder=4)
    axes.set_xlabel("predicted change of log π (nats)")
    axes.set_ylabel("actual change of log π (nats)")
    agreement = _agreement(predicted, actual)
    axes.text(0.03, 0.97, agreement.replace(", ", "\n"), transform=axes.transAxes, fontsize=8.5, va="top")
    return agreement


def _agreement(predicted: NDArray[np.float64], actual: NDArray[np.float64]) -> str:
    """Correlation, slope of the actual on the predicted changes, and the error's size over that of the changes."""
    slope, correlation = slope_and_correlation(predicted, actual)
    error = relative_error(predicted, actual)
    return f"correlation {correlation:.4f}, slope {slope:.3f}, relative error {error:.3f}"


def _draw_likeness(axes: Axes, table: pd.DataFrame) -> None:
    pairs = _pairs(table)
    axes.scatter(pairs["similarity"], pairs["actual"], s=18, color=_POINTS, alpha=0.7, linewidths=0, zorder=3)
    for row in pairs.to_dict("records"):
        if (row["learned"], row["observed"]) in _ALIKE:
            place = (row["similarity"], row["actual"])
            axes.scatter(*place, s=30, color=_MARKED, zorder=4)
            axes.annotate(
                f"{row['learned']} → {row['observed']}", place, xytext=(0, 6), fontsize=8.5, fontweight="bold",
                textcoords="offset points", ha="center", color=_MARKED, zorder=5,
            )  # fmt: skip
    axes.set_title("classes learned → observed")
    axes.set_xlabel("likeness of the classes (correlation of pixels)")
    axes.set_ylabel("accumulated influence (nats)")
    zero_line(axes)


def _pairs(table: pd.DataFrame) -> pd.DataFrame:
    """Influence and likeness of the pairs of different classes, mean over seeds."""
    pairs = table[(table["learned"] != table["observed"]) & (table["label"] == table["learned"])]
    return pairs.groupby(["learned", "observed"], as_index=False)[["actual", "similarity"]].mean()


def _prediction_caption(foot: str, agreements: list[str]) -> str:
    return (
        f"Left: change of log π of the class just learned, on single held-out images, as −ηA·K·G predicts it and as it "
        f"was ({agreements[0]}). Middle: the same for a step of a tenth of the learning rate ({agreements[1]}). Right: "
        "accumulated influence over all steps against the mean correlation of pixels between images of the two "
        f"classes, a point for each pair of different classes. {foot}"
    )
