"""Figures of a decomposition (`ldyn decompose`): how well A·K·G predicts log π, and through which parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from ldyn.findings.claims_kernel import relative_error, slope_and_correlation
from ldyn.numerics.statistics import t_half_width
from ldyn.report.figures.canvas import (
    EndLabel,
    PanelSize,
    grid_cells,
    head_and_foot,
    lay_out,
    write_ends,
    zero_line,
)
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import GREEDY, GROUPS, curve_style, family_of

GROUP_COLOURS = {
    "chosen": curve_style("chosen").colour,
    "rejected": curve_style("rejected").colour,
    "irrelevant": curve_style("irr_train").colour,
    "random": curve_style("random_nonhum").colour,
    "other": curve_style(GREEDY).colour,
}
"""The hue of each family of probes, as everywhere; where single probes cannot be told apart in a cloud of points."""


def stages_of(table: pd.DataFrame) -> list[str]:
    """The stages of a table in the order in which they ran."""
    return [str(stage) for stage in table["stage"].unique()]


def group_of(probe: str) -> str:
    """The family's name, "other" for probes of the user's own."""
    group = family_of(probe).group
    return group if group in GROUPS else "other"


def mean_and_half(values: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Mean over the rows (examples) of each column, and half the width of its 95 % t-interval (NaN for one example)."""
    return values.mean(), pd.Series(t_half_width(values.std(ddof=1), values.count()), values.columns)


def part_colours(parts: Sequence[str]) -> dict[str, str]:
    """Layers from light to dark towards the output; the unembedding, which the theory singles out, in vermilion."""
    inner = [part for part in parts if part.startswith("layer")]
    shades = colormaps["cividis_r"](np.linspace(0.25, 1.0, max(len(inner), 1)))
    colours = {part: to_hex(shade) for part, shade in zip(inner, shades, strict=False)}
    return {**colours, "embeddings": "#2C9C5A", "final norm": "#8C8C8C", "unembedding": "#B83200"}


def updates_axis(axes: Axes) -> None:
    """The horizontal axis of a figure over training."""
    axes.set_xlabel("updates made")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def minus_signs(axes: Axes) -> None:
    """Real minus signs on a linear value axis."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))


def example_count(table: pd.DataFrame) -> int:
    """How many probe examples stand behind a table."""
    return int(table["example_id"].nunique())


def prediction_agreement(material: Material) -> Drawing:
    """One row of panels a stage: a small step, the optimizer's own, and a large one; the diagonal is the theory."""
    table = material.tables["changes"]
    stages, sizes = stages_of(table), _shown_sizes(table)
    canvas, panels = lay_out(grid_cells(len(stages), len(sizes)), PanelSize(2.6, 2.3, 0.2))
    for axes, (stage, size) in zip(panels, [(s, z) for s in stages for z in sizes], strict=True):
        rows = table[(table["stage"] == stage) & (table["step_size"] == size)]
        _agreement_draw(axes, rows)
        axes.set_title(f"{stage}: {_agreement_size_words(size)}")
        axes.set_xlabel("predicted change of log π (nats)")
    for axes in panels[:: len(sizes)]:
        axes.set_ylabel("actual change (nats)")
    handles, names = panels[0].get_legend_handles_labels()
    panels[0].legend(
        handles[::-1],
        names[::-1],
        loc="lower right",
        frameon=False,
        fontsize=8,
        handletextpad=0.1,
        borderpad=0.1,
        markerscale=2.2,
    )
    title = "The first-order prediction A·K·G, with the optimizer's own update, against what happened"
    moments = table.groupby("stage", sort=False)["step"].nunique()
    head_and_foot(canvas, title, _agreement_foot(table, int(moments.max())))
    return Drawing(canvas, title, _agreement_caption(table))


def _shown_sizes(table: pd.DataFrame) -> list[float]:
    sizes = sorted(table["step_size"].unique())
    return sorted({float(sizes[0]), 1.0, float(sizes[-1])})


def _agreement_size_words(size: float) -> str:
    return "the optimizer's own step" if size == 1 else f"{size:g} times the step"


def _agreement_draw(axes: Axes, rows: pd.DataFrame) -> None:
    group = rows["probe"].map(group_of)
    order = [name for name in GROUP_COLOURS if (group == name).any()]
    for name in reversed(order):  # the responses trained on lie on top
        own = rows[group == name]
        axes.scatter(
            own["predicted"], own["actual"], s=5, color=GROUP_COLOURS[name], alpha=0.35, linewidths=0, zorder=3,
            label=name,
        )  # fmt: skip
    limit = 1.05 * float(np.nanmax(np.abs(rows[["predicted", "actual"]].to_numpy())))
    axes.plot([-limit, limit], [-limit, limit], color="#444444", linewidth=0.9, linestyle=(0, (4, 3)), zorder=2)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-limit, limit)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    axes.text(0.03, 0.97, _fit(rows), transform=axes.transAxes, va="top", fontsize=8.5, zorder=5)


def _fit(rows: pd.DataFrame) -> str:
    predicted, actual = rows["predicted"].to_numpy(np.float64), rows["actual"].to_numpy(np.float64)
    slope, correlation = slope_and_correlation(predicted, actual)
    return f"r = {correlation:.3f}\nslope {slope:.2f}\nrelative error {relative_error(predicted, actual):.2f}"


def _agreement_foot(table: pd.DataFrame, moments: int) -> str:
    return (
        f"Each point: one response at one of {moments} probe steps of the stage; {example_count(table)} train probe "
        "examples. Scales differ between panels."
    )


def _agreement_caption(table: pd.DataFrame) -> str:
    return (
        "Change of log π(y | x) of each observed response over one update, as ⟨∇ log π, Δθ⟩ predicts it with the "
        "optimizer's actual Δθ, against the change itself. Columns: that update scaled. The dashed diagonal is "
        f"prediction = change; r, slope and relative error ‖actual − predicted‖ / ‖actual‖ over all points. "
        f"{example_count(table)} train probe examples."
    )


STAGE_COLOURS = ("#0B4F9E", "#B83200", "#007F3F", "#6A2C91")


def prediction_error(material: Material) -> Drawing | str:
    """Left: error over step size, in log-log, beside a line of slope 2. Right: correlation over step size."""
    table = material.tables["changes"]
    sizes = sorted(table["step_size"].unique())
    if len(sizes) < 2:
        return "it needs at least two step sizes; decompose.step_sizes sets them"
    canvas, (left, right) = lay_out(grid_cells(1, 2), PanelSize(3.3, 2.6, 1.0))
    labels: dict[Axes, list[EndLabel]] = {left: [], right: []}
    for stage, colour in zip(stages_of(table), STAGE_COLOURS, strict=False):
        rows = table[table["stage"] == stage]
        errors = _rms_errors(rows)
        labels[left].append(_draw_errors(left, errors, colour, f"{stage}: {_error_slope(errors):.2f}"))
        labels[right].append(_draw_correlations(right, rows, colour, stage))
    _draw_guide(left, sizes)
    for axes, name in ((left, "root mean square error (nats, log)"), (right, "correlation over responses")):
        axes.set_xscale("log")
        axes.set_xlabel("multiple of the optimizer's own step (log)")
        axes.set_ylabel(name)
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.xaxis.set_minor_formatter(NullFormatter())
    left.set_yscale("log")
    left.set_title("error and its slope")
    right.set_title("actual against predicted")
    title = "What the first order misses grows with the square of the step"
    head_and_foot(canvas, title, f"Mean over {example_count(table)} train probe examples; bands: 95 % t-intervals.")
    write_ends(canvas, labels)
    return Drawing(canvas, title, _error_caption(table))


def _rms_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """log10 of the root mean square of actual − predicted: examples × step sizes."""
    square = (rows["actual"] - rows["predicted"]) ** 2
    table = square.groupby([rows["example_id"], rows["step_size"]]).mean().unstack()
    return table.where(table > 0).map(np.log10) / 2


def _error_slope(errors: pd.DataFrame) -> float:
    """Of log error on log step size, up to the optimizer's own step where there are smaller ones."""
    means = errors.mean()
    small = [size for size in means.index if size <= 1]
    used = means[small] if len(small) > 1 else means
    return slope_and_correlation(np.log10(used.index.to_numpy(np.float64)), used.to_numpy(np.float64))[0]


def _draw_errors(axes: Axes, errors: pd.DataFrame, colour: str, text: str) -> EndLabel:
    mean, half = mean_and_half(errors)
    sizes = mean.index.to_numpy(np.float64)
    axes.plot(sizes, 10**mean, color=colour, marker="o", markersize=3.5, linewidth=1.8, zorder=3)
    axes.fill_between(sizes, 10 ** (mean - half), 10 ** (mean + half), color=colour, alpha=0.15, linewidth=0)
    return EndLabel(text, float(sizes[-1]), float(10 ** mean.iloc[-1]), colour)


def _draw_correlations(axes: Axes, rows: pd.DataFrame, colour: str, text: str) -> EndLabel:
    found: dict[float, float] = {}
    for size, own in rows.groupby("step_size"):
        found[float(str(size))] = slope_and_correlation(
            own["predicted"].to_numpy(np.float64), own["actual"].to_numpy(np.float64)
        )[1]
    sizes, values = list(found), list(found.values())
    axes.plot(sizes, values, color=colour, marker="o", markersize=3.5, linewidth=1.8, zorder=3)
    return EndLabel(text, float(sizes[-1]), float(values[-1]), colour)


def _draw_guide(axes: Axes, sizes: list[float]) -> None:
    """A line of slope 2 below all that is drawn."""
    heights = [np.log10(np.asarray(line.get_ydata(), dtype=np.float64)[0]) for line in axes.lines]
    base = min(heights) - 0.6
    guide = 10 ** (base + 2 * np.log10(np.array(sizes) / sizes[0]))
    axes.plot(sizes, guide, color="#777777", linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        "slope 2", (sizes[-2], guide[-2]), xytext=(8, -6), textcoords="offset points", fontsize=8.5, color="#555555"
    )


def _error_caption(table: pd.DataFrame) -> str:
    return (
        "Left: root mean square of actual minus predicted change of log π over one update, scaled by the multiple "
        "below; the number is the slope in log-log up to the optimizer's own step (first order leaves O(η²): slope 2). "
        f"Right: correlation of actual with predicted over all responses. {example_count(table)} train probe examples; "
        "bands: 95 % t-intervals over them."
    )


_UPDATES = {"actual": "the optimizer's update", "gradient_descent": "plain gradient descent"}


def kernel_shares(material: Material) -> Drawing:
    """One column a stage, one line a part; in black what all parts explain together.

    Above of what the optimizer's update did, below of what plain gradient descent on the same batch would do.
    """
    table = material.tables["change_parts"]
    stages = stages_of(table)
    canvas, panels = lay_out(grid_cells(len(_UPDATES), len(stages)), PanelSize(3.4, 2.6, 1.2))
    shares = {
        f"{stage}, {words}": shares_of_parts(table[table["stage"] == stage], update)
        for update, words in _UPDATES.items()
        for stage in stages
    }
    labels: dict[Axes, list[EndLabel]] = {}
    for axes, (title, of_parts) in zip(panels, shares.items(), strict=True):
        labels[axes] = _shares_draw(axes, of_parts)
        _shares_dress(axes, title)
    title = "Through which part of the model an update acts on log π"
    head_and_foot(canvas, title, f"Mean over {example_count(table)} train probe examples; bands: 95 % t-intervals.")
    write_ends(canvas, labels)
    return Drawing(canvas, title, _shares_caption(table))


def shares_of_parts(table: pd.DataFrame, update: str) -> dict[str, pd.DataFrame]:
    """Part -> examples × steps, Σ p · a / Σ a² over an example's responses; "all parts" is their sum.

    For "actual": p as predicted of the update, a what happened. For "gradient_descent" both of first order, a the sum.
    """
    whole = table.groupby(["example_id", "probe", "step"])["gradient_descent"].transform("sum")
    p, a = (table["predicted"], table["actual"]) if update == "actual" else (table["gradient_descent"], whole)
    keys = [table["example_id"], table["step"], table["part"]]
    products, sizes = (p * a).groupby(keys).sum().unstack("part"), (a**2).groupby(keys).sum().unstack("part")
    ratio = products / sizes.where(sizes > 0)
    parts = [str(part) for part in table["part"].unique()]
    return {part: ratio[part].unstack("step") for part in parts} | {"all parts": ratio.sum(axis=1).unstack("step")}


def _shares_dress(axes: Axes, title: str) -> None:
    axes.axhline(0.5, color="#B83200", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    axes.axhline(1, color="#999999", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    zero_line(axes)
    axes.set_title(title)
    updates_axis(axes)
    axes.set_ylabel("share of the change")


def _shares_draw(axes: Axes, shares: dict[str, pd.DataFrame]) -> list[EndLabel]:
    colours = part_colours(list(shares)) | {"all parts": "#000000"}
    labels = []
    for part, values in shares.items():
        mean, half = mean_and_half(values)
        steps, bold = mean.index.to_numpy(np.float64), part in ("unembedding", "all parts")
        axes.plot(steps, mean, color=colours[part], linewidth=2.4 if bold else 1.5, marker="o", markersize=3, zorder=3)
        axes.fill_between(steps, mean - half, mean + half, color=colours[part], alpha=0.13, linewidth=0, zorder=2)
        labels.append(EndLabel(part, float(steps[-1]), float(mean.iloc[-1]), colours[part], bold=bold))
    return labels


def _shares_caption(table: pd.DataFrame) -> str:
    return (
        "Above: share of the actual change of log π over the next update that passes through each part of the model: "
        "Σ p · a / Σ a², with a the actual change of a response and p the change predicted from the update of that "
        "part alone. The shares add up to the black line, which is 1 where the first order is all. The unembedding's "
        f"share is what a fixed feature map explains. Below: the same of the first-order change by plain gradient "
        f"descent on the same batch, the optimizer of the theory. Mean over {example_count(table)} train probe "
        "examples; bands: 95 % t-intervals."
    )
