"""Figures of `ldyn decompose`: how well A·K·G predicts log π, through which parts, who moves whom, and norms of K."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm, to_hex
from matplotlib.ticker import MaxNLocator

from ldyn.numerics.statistics import t_half_width
from ldyn.report.figures.canvas import EndLabel, finish, lay_out, zero_line
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import GREEDY, GROUPS, curve_style, family_of, order_probes

_LEADING = {"chosen": "chosen", "rejected": "rejected", "irrelevant": "irr_train", "random": "random_nonhum"}
GROUP_COLOURS = {group: curve_style(probe).colour for group, probe in (*_LEADING.items(), ("other", GREEDY))}
"""The hue of each family of probes, as everywhere; where single probes cannot be told apart in a cloud of points."""
_DASHED = (0, (4, 3))


def examples_in(table: pd.DataFrame) -> str:
    """How many probe examples stand behind a table."""
    return f"{table['example_id'].nunique()} train probe examples"


_WHOLE = {"kernel_at_start": "the kernel at its start", "kernel_at_snapshots": "from snapshot to snapshot"}


def whole_stage(material: Material) -> Drawing:
    """One row of panels a stage: the change over all of it, against both first-order predictions."""
    table = material.tables["stage_changes"]
    stages = list(table["stage"].unique())
    canvas, panels = lay_out(len(stages), len(_WHOLE), 2.6, 2.3, 0.2)
    for axes, (stage, column) in zip(panels, [(s, c) for s in stages for c in _WHOLE], strict=True):
        _scatter(axes, table[table["stage"] == stage].assign(predicted=table[column]))
        axes.set_title(f"{stage}: {_WHOLE[column]}")
        axes.set_xlabel("predicted change of log π (nats)")
    for axes in panels[:: len(_WHOLE)]:
        axes.set_ylabel("actual change (nats)")
    _name_groups(panels[0])
    title = "The change over a whole stage, and its first-order prediction"
    foot = f"Each point: one response; {examples_in(table)}; at most {table['segments'].max()} segments. Scales differ."
    about = (
        "Change of log π(y | x) of each observed response over the stage against its first-order prediction. Left: "
        "⟨∇ log π at the stage's start, Δθ of the whole stage⟩. Right: the sum of such products from snapshot to "
        "snapshot; it is the sum of all first-order steps where every step has a snapshot. The dashed diagonal is "
        "prediction = change. K6 judges the share explained, 1 − Σ (actual − predicted)² / Σ actual²."
    )
    return finish(canvas, title, foot, about)


def _name_groups(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    look: dict[str, Any] = {"frameon": False, "fontsize": 8, "handletextpad": 0.1, "borderpad": 0.1, "markerscale": 2.2}
    axes.legend(handles[::-1], names[::-1], loc="lower right", **look)


def _scatter(axes: Axes, rows: pd.DataFrame) -> None:
    group = rows["probe"].map(lambda probe: family_of(probe).group).where(lambda found: found.isin(GROUPS), "other")
    for name, colour in reversed(GROUP_COLOURS.items()):  # the responses trained on lie on top
        own = rows[group == name]
        if len(own):
            look: dict[str, Any] = {"s": 5, "alpha": 0.35, "linewidths": 0, "zorder": 3}
            axes.scatter(own["predicted"], own["actual"], color=colour, label=name, **look)
    predicted, actual = rows["predicted"].to_numpy(np.float64), rows["actual"].to_numpy(np.float64)
    limit = 1.05 * float(np.nanmax(np.abs([predicted, actual])))
    axes.plot([-limit, limit], [-limit, limit], color="#444444", linewidth=0.9, linestyle=_DASHED, zorder=2)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    slope, correlation = np.polyfit(predicted, actual, 1)[0], np.corrcoef(predicted, actual)[0, 1]
    error = np.linalg.norm(actual - predicted) / np.linalg.norm(actual)
    fit = f"r = {correlation:.3f}\nslope {slope:.2f}\nrelative error {error:.2f}"
    axes.text(0.03, 0.97, fit, transform=axes.transAxes, va="top", fontsize=8.5, zorder=5)


def _draw(axes: Axes, values: pd.DataFrame, label: EndLabel, *, logarithmic: bool = False, dash: Any = "-") -> EndLabel:
    """Mean over the rows (examples) at each step (column) with its 95 % t-interval; returns the label at its end.

    values: of logarithms (base 10) where the axis is logarithmic.
    """
    mean, half = values.mean(), t_half_width(values.std(ddof=1), values.count())
    line, low, high = (10**one if logarithmic else one for one in (mean, mean - half, mean + half))
    steps, width = mean.index.to_numpy(np.float64), 2.4 if label.bold else 1.5
    axes.plot(steps, line, color=label.colour, linewidth=width, linestyle=dash, zorder=3)
    axes.fill_between(steps, low, high, color=label.colour, alpha=0.1, linewidth=0, zorder=2)
    axes.set_xlabel("updates made")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return EndLabel(label.text, float(steps[-1]), float(line.iloc[-1]), label.colour, label.bold)


PART_COLOURS = {"embeddings": "#2C9C5A", "final norm": "#8C8C8C", "unembedding": "#B83200", "all parts": "#000000"}
_UPDATES = {"actual": "the optimizer's update", "gradient_descent": "plain gradient descent"}


def kernel_shares(material: Material) -> Drawing:
    """One column a stage, one line a part; in black what all parts explain together.

    Above of what the optimizer's update did, below of what plain gradient descent on the same batch would do.
    """
    table = material.tables["change_parts"]
    stages = list(table["stage"].unique())
    canvas, panels = lay_out(2, len(stages), 3.4, 2.6, 1.2)
    labels: dict[Axes, list[EndLabel]] = {}
    for axes, (update, stage) in zip(panels, [(u, s) for u in _UPDATES for s in stages], strict=True):
        shares = shares_of_parts(table[table["stage"] == stage], update)
        layers = [part for part in shares if part.startswith("layer")]  # from light to dark towards the output
        shades = map(to_hex, colormaps["cividis_r"](np.linspace(0.25, 1.0, max(len(layers), 1))))
        colours = PART_COLOURS | dict(zip(layers, shades, strict=False))
        looks = {part: EndLabel(part, 0, 0, colours[part], part in ("unembedding", "all parts")) for part in shares}
        labels[axes] = [_draw(axes, values, looks[part]) for part, values in shares.items()]
        for height, colour in ((0.5, "#B83200"), (1, "#999999")):
            axes.axhline(height, color=colour, linewidth=0.8, linestyle=_DASHED, zorder=1)
        zero_line(axes)
        axes.set_title(f"{stage}, {_UPDATES[update]}")
        axes.set_ylabel("share of the change")
    title = "Through which part of the model an update acts on log π"
    foot = f"Mean over {examples_in(table)}; bands: 95 % t-intervals."
    about = (
        "Above: share of the actual change of log π over the next update that passes through each part of the model: "
        "Σ p · a / Σ a², with a the actual change of a response and p the change predicted from the update of that "
        "part alone. The shares add up to the black line, which is 1 where the first order is all. The unembedding's "
        "share is what a fixed feature map explains. Below: the same of the first-order change by plain gradient "
        "descent on the same batch, the optimizer of the theory."
    )
    return finish(canvas, title, foot, about, labels)


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


def kernel_norms(material: Material) -> Drawing:
    """The norm per token pair between y⁺ and each response over training, geometric means; one column a stage."""
    table = material.tables["kernel_norms"]
    norms = table[table["updated"] == "chosen"]
    norms = norms.assign(log=norms["per_pair"].where(norms["per_pair"] > 0).map(np.log10))
    stages = list(norms["stage"].unique())
    canvas, panels = lay_out(1, len(stages), 3.0, 2.6, 1.5)
    ends: dict[Axes, list[EndLabel]] = {}
    for axes, stage in zip(panels, stages, strict=True):
        own, ends[axes] = norms[norms["stage"] == stage], []
        for probe in order_probes(set(own["probe"])):
            style = curve_style(probe)
            values = own[own["probe"] == probe].pivot(index="example_id", columns="step", values="log")
            label = EndLabel(style.mathtext or style.name, 0, 0, style.text_colour, style.width > 2)
            ends[axes].append(_draw(axes, values, label, logarithmic=True, dash=style.line_style))
        axes.set_yscale("log")
        axes.set_title(stage)
    panels[0].set_ylabel("‖K‖ per token pair (log)")
    title = "The kernel between y⁺ and each response over training"
    error = float((table["standard_error"] / table["norm"]).median())
    foot = f"Geometric means over {examples_in(table)}, bands: 95 % t-intervals; standard error of a norm {error:.1%}."
    about = (
        "Root mean square over token pairs of ‖K‖_F, the empirical neural tangent kernel between [x; y⁺] and each "
        "response to the same question, by random projections."
    )
    return finish(canvas, title, foot, about, ends)


_SYMBOLS = {"chosen": "y⁺", "rejected": "y⁻"}
TOTAL, ACTUAL = "all of it", "what happened"


def who_moves_whom(material: Material) -> Drawing:
    """One heat map a stage: rows are what was trained, columns the responses observed, values nats over the stage."""
    sources, changes = material.tables["change_sources"], material.tables["changes"]
    own = {stage: changes[changes["stage"] == stage] for stage in sources["stage"].unique()}
    tables = {stage: accumulated(sources[sources["stage"] == stage], rows) for stage, rows in own.items()}
    columns, rows = (max(table.shape[axis] for table in tables.values()) for axis in (1, 0))
    canvas, panels = lay_out(len(tables), 1, 0.58 * columns, 0.34 * rows, 1.15)
    for axes, (stage, table) in zip(panels, tables.items(), strict=True):
        box = axes.get_position()  # room at the left for the long names of the rows
        axes.set_position((box.x0 + 0.9 / canvas.get_size_inches()[0], box.y0, box.width, box.height))
        _heat_map(axes, table)
        updates = int(own[stage]["step"].max())
        axes.set_title(f"{stage}, {updates} updates" if updates else f"{stage}, its first update")
    title = "Who moves whom: predicted change of log π, by what was trained (nats over a stage)"
    sampled = int(changes.groupby("stage")["step"].nunique().max())
    foot = f"{examples_in(changes)}; extrapolated from {sampled} sampled updates of each stage."
    about = (
        "First-order change of log π of each kind of response, split by the responses whose gradients made the update "
        "(with the optimizer's step size of every weight), and by whether the batch held the observed question. "
        "Earlier batches: momentum and weight decay. Mean over sampled updates and examples, times the number of "
        "updates of the stage; below, their sum and the actual change over the same updates."
    )
    return finish(canvas, title, foot, about)


def accumulated(sources: pd.DataFrame, changes: pd.DataFrame) -> pd.DataFrame:
    """Rows (what was trained) × columns (probes): mean change over sampled updates and examples, times the updates.

    A response's own question is in few batches; the two rows of a side add up to all that this side did.
    """
    updates = max(1, int(changes["step"].max()))
    own = changes[changes["step_size"] == 1]
    counts = own.groupby("probe").size()
    words = [_row_name(source, seen) for source, seen in zip(sources["source"], sources["in_batch"], strict=True)]
    sums = sources["predicted"].groupby([pd.Series(words, index=sources.index), sources["probe"]]).sum().unstack()
    order = list(dict.fromkeys(_row_name(s, b) for s in sources["source"].unique() for b in (True, False)))
    table = sums.reindex([name for name in order if name in sums.index]) * updates / counts
    table.loc[TOTAL] = table.sum()
    table.loc[ACTUAL] = own.groupby("probe")["actual"].mean() * updates
    return table[order_probes(set(table.columns))]


def _row_name(source: str, in_batch: bool) -> str:
    if source not in _SYMBOLS:
        return source
    return f"{_SYMBOLS[source]} of {'the same question' if in_batch else 'other questions'}"


def _heat_map(axes: Axes, table: pd.DataFrame) -> None:
    values = table.to_numpy(np.float64)
    limit = float(np.nanmax(np.abs(values))) or 1.0
    axes.imshow(values, cmap="RdBu", norm=TwoSlopeNorm(0, -limit, limit), aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text = "" if np.isnan(value) else f"{value:+.1f}".replace("-", "−").replace("+0.0", "0").replace("−0.0", "0")
        colour = "white" if abs(value) > 0.6 * limit else "#222222"
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xticks(range(len(table.columns)), [curve_style(p).mathtext or p for p in table.columns])
    axes.set_yticks(range(len(table)), list(table.index))
    for tick, probe in zip(axes.get_xticklabels(), table.columns, strict=True):
        tick.set_color(curve_style(str(probe)).text_colour)
    axes.axhline(len(table) - 2.5, color="white", linewidth=3)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
