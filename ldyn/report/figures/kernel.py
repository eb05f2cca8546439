"""Figures of a decomposition (`ldyn decompose`): the norms of the kernel, and who moves whom."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm, TwoSlopeNorm

from ldyn.numerics.statistics import rank_correlation
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
from ldyn.report.figures.prediction import (
    example_count,
    mean_and_half,
    minus_signs,
    stages_of,
    updates_axis,
)
from ldyn.report.style import curve_style, order_probes

_ROWS = {
    "per_pair": "‖K‖ per token pair (log)",
    "paper_lower_bound": "LBK, from Δ log π (log)",
    "sign_delta": "SignDelta",
}
_LOGARITHMIC = ("per_pair", "paper_lower_bound")
"""Of these a few examples have ten times as much as most: geometric means, on a logarithmic axis."""


def kernel_norms(material: Material) -> Drawing:
    """Above the norm itself between y⁺ and each response, below it the paper's two proxies; one column a stage."""
    norms, proxies = material.tables["kernel_norms"], material.tables.get("kernel_proxies")
    rows = {name: label for name, label in _ROWS.items() if name == "per_pair" or proxies is not None}
    stages = stages_of(norms)
    truth = norms[norms["updated"] == "chosen"]
    canvas, panels = lay_out(grid_cells(len(rows), len(stages)), PanelSize(3.0, 2.1, 1.5))
    ends: dict[Axes, list[EndLabel]] = {}
    for axes, (name, stage) in zip(panels, [(name, stage) for name in rows for stage in stages], strict=True):
        table = truth if name == "per_pair" or proxies is None else proxies
        means = _norms_means(table[table["stage"] == stage], name)
        ends[axes] = _norms_draw(axes, means, logarithmic=name in _LOGARITHMIC)
        _norms_dress(axes, name, stage, means, _norms_means(truth[truth["stage"] == stage], "per_pair"))
    for axes in panels[:: len(stages)]:
        axes.set_ylabel(rows[list(rows)[panels.index(axes) // len(stages)]])
    title = "The kernel between y⁺ and each response over training, and two proxies of its size"
    head_and_foot(canvas, title, _norms_foot(norms))
    write_ends(canvas, ends)
    return Drawing(canvas, title, _norms_caption(norms))


def _norms_means(table: pd.DataFrame, name: str) -> dict[str, pd.DataFrame]:
    """Probe -> examples × steps, of logarithms where the axis is logarithmic."""
    shown = table.assign(
        shown=table[name].where(table[name] > 0).map(np.log10) if name in _LOGARITHMIC else table[name]
    )
    return {
        probe: shown[shown["probe"] == probe].pivot(index="example_id", columns="step", values="shown")
        for probe in order_probes(set(table["probe"]))
    }


def _norms_draw(axes: Axes, values: Mapping[str, pd.DataFrame], *, logarithmic: bool) -> list[EndLabel]:
    labels = []
    for probe, frame in values.items():
        style = curve_style(probe)
        mean, half = mean_and_half(frame)
        steps = mean.index.to_numpy(np.float64)
        line, low, high = (10**one if logarithmic else one for one in (mean, mean - half, mean + half))
        axes.plot(steps, line, color=style.colour, linestyle=style.line_style, linewidth=style.width, zorder=3)
        axes.fill_between(steps, low, high, color=style.colour, alpha=0.08, linewidth=0, zorder=2)
        text = style.mathtext or style.name
        labels.append(EndLabel(text, float(steps[-1]), float(line.iloc[-1]), style.text_colour, style.width > 2))
    return labels


def _norms_dress(
    axes: Axes, name: str, stage: str, means: Mapping[str, pd.DataFrame], truth: Mapping[str, pd.DataFrame]
) -> None:
    updates_axis(axes)
    if name in _LOGARITHMIC:
        axes.set_yscale("log")
    else:
        zero_line(axes)
        minus_signs(axes)
    if name == "per_pair":
        axes.set_title(stage)
        return
    agreement = _rank_agreement(means, truth)
    words = "none, as all are equal" if np.isnan(agreement) else f"{agreement:+.2f}".replace("-", "−")
    axes.set_title(f"rank correlation with ‖K‖: {words}")


def _rank_agreement(proxy: Mapping[str, pd.DataFrame], truth: Mapping[str, pd.DataFrame]) -> float:
    """Spearman's ρ over response types between mean proxy and mean norm, mean over probe steps."""
    probes = [probe for probe in truth if probe in proxy]
    left, right = (pd.DataFrame({p: values[p].mean() for p in probes}).sort_index() for values in (proxy, truth))
    steps = left.index.intersection(right.index)
    correlations = rank_correlation(left.loc[steps].to_numpy(), right.loc[steps].to_numpy())
    return float(pd.Series(correlations).mean())  # of the probe steps where there is one


def _norms_foot(norms: pd.DataFrame) -> str:
    error = float((norms["standard_error"] / norms["norm"]).median())
    return (
        f"‖K‖: {example_count(norms)} train probe examples, median standard error of a norm {error:.1%}. Geometric "
        "means where the axis is logarithmic; bands: 95 % t-intervals over examples."
    )


def _norms_caption(norms: pd.DataFrame) -> str:
    return (
        "Above: root mean square over token pairs of ‖K‖_F, the empirical neural tangent kernel between [x; y⁺] and "
        "each response to the same question, by random projections. Middle and below: the paper's proxies, from the "
        "change of log π over the next update: its norm (LBK) or its sum (SignDelta) over ‖A‖ and the residual's "
        "norm. The titles say how well they order the response types (Spearman's ρ, mean over probe steps). "
        + _norms_foot(norms)
    )


_PROBES = ("chosen", "rejected", "irr_train")
_SIDES = {"chosen": "y⁺ is raised", "rejected": "y⁻ is lowered"}


def token_influence(material: Material) -> Drawing:
    """Matrices of one example at the start of the last stage: rows are observed tokens, columns the trained ones."""
    rows = _tokens_shown(material.tables["influence"])
    rows = rows[rows["probe"].isin(_PROBES)]
    probes, sides = order_probes(set(rows["probe"])), [str(side) for side in rows["side"].unique()]
    longest = int(rows["observed_token"].max()) + 1, int(rows["updated_token"].max()) + 1
    size = PanelSize(0.26 * longest[1], 0.19 * longest[0], 0.5)
    canvas, panels = lay_out(grid_cells(len(probes), len(sides)), size)
    limit = float(rows["influence"].abs().max()) or 1.0
    cells = [(probe, side) for probe in probes for side in sides]
    for axes, (probe, side) in zip(panels, cells, strict=True):
        block = rows[(rows["probe"] == probe) & (rows["side"] == side)]
        _tokens_draw(axes, block, limit)
        trained = _SIDES[side] if _is_lowered(rows) or side == "chosen" else "y⁻ is raised"
        axes.set_title(f"{curve_style(probe).name} {curve_style(probe).mathtext}: {trained}", fontsize=9)
    first = rows.iloc[0]
    title = f"Token by token: {first['stage']}, after {first['step']} updates, question {first['example_id']}"
    head_and_foot(
        canvas, title, "Blue: the trained token (column) raises log π of the observed one (row); red: lowers."
    )
    return Drawing(canvas, title, _tokens_caption())


def _tokens_shown(table: pd.DataFrame) -> pd.DataFrame:
    """The first example at the first probe step of the last stage, for the paper's case: a preference stage's start."""
    own: pd.DataFrame = table[table["stage"] == stages_of(table)[-1]]
    own = own[own["step"] == own["step"].min()]
    first: pd.DataFrame = own[own["example_id"] == own["example_id"].iloc[0]]
    return first


def _is_lowered(rows: pd.DataFrame) -> bool:
    """Whether y⁻ is pushed down: its own tokens then fall where they are trained."""
    own = rows[(rows["side"] == "rejected") & (rows["probe"] == "rejected")]
    same = own[own["observed_token"] == own["updated_token"]]
    return bool(len(same)) and float(same["influence"].sum()) < 0


def _tokens_draw(axes: Axes, block: pd.DataFrame, limit: float) -> None:
    matrix = block.pivot(index="observed_token", columns="updated_token", values="influence").to_numpy(np.float64)
    norm = SymLogNorm(linthresh=limit / 300, vmin=-limit, vmax=limit)
    axes.imshow(matrix, cmap="RdBu", norm=norm, aspect="auto")
    observed = block.drop_duplicates("observed_token").sort_values("observed_token")["observed_text"]
    updated = block.drop_duplicates("updated_token").sort_values("updated_token")["updated_text"]
    axes.set_xticks(range(len(updated)), [_tokens_plain(text) for text in updated], rotation=90, fontsize=6.5)
    axes.set_yticks(range(len(observed)), [_tokens_plain(text) for text in observed], fontsize=6.5)
    axes.grid(visible=False)
    axes.tick_params(length=0, pad=1.5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _tokens_plain(text: str) -> str:
    shown = text.strip() or repr(text)[1:-1]
    return (shown if len(shown) <= 10 else shown[:9] + "…").replace("$", r"\$")


def _tokens_caption() -> str:
    return (
        "Exact influence of every trained token l (columns) on log π of every observed token m (rows) in one step of "
        "plain gradient descent on this pair alone, η c = 1 (−1 where y⁻ is lowered): ±⟨∇ log π(y_m), ∇ log π(y_l)⟩, "
        "that is −[A_m K_{m,l} G_l] at the label. Row sums are the first-order change of a token. Colours are "
        "symmetric logarithmic, on one scale."
    )


_SYMBOLS = {"chosen": "y⁺", "rejected": "y⁻"}
TOTAL, ACTUAL = "all of it", "what happened"


def who_moves_whom(material: Material) -> Drawing:
    """One heat map a stage: rows are what was trained, columns the responses observed, values nats over the stage."""
    sources, changes = material.tables["change_sources"], material.tables["changes"]
    stages = stages_of(sources)
    tables = {stage: accumulated(*(t[t["stage"] == stage] for t in (sources, changes))) for stage in stages}
    columns = max(len(table.columns) for table in tables.values())
    rows = max(len(table) for table in tables.values())
    size = PanelSize(0.58 * columns, 0.34 * rows, 0.2)
    canvas, panels = lay_out(grid_cells(len(stages), 1), PanelSize(size.width, size.height, 1.15))
    for axes, stage in zip(panels, stages, strict=True):
        _shift(axes, canvas.get_size_inches()[0])
        _who_draw(axes, tables[stage])
        updates = int(changes[changes["stage"] == stage]["step"].max())
        axes.set_title(f"{stage}, {updates} updates" if updates else f"{stage}, its first update")
    title = "Who moves whom: predicted change of log π, by what was trained (nats over a stage)"
    sampled = int(changes.groupby("stage")["step"].nunique().max())
    foot = f"{example_count(changes)} train probe examples; extrapolated from {sampled} sampled updates of each stage."
    head_and_foot(canvas, title, foot)
    return Drawing(canvas, title, _who_caption(changes, sampled))


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


def _shift(axes: Axes, width: float) -> None:
    """Room at the left for the long names of the rows."""
    box = axes.get_position()
    axes.set_position((box.x0 + 0.9 / width, box.y0, box.width, box.height))


def _who_draw(axes: Axes, table: pd.DataFrame) -> None:
    values = table.to_numpy(np.float64)
    limit = float(np.nanmax(np.abs(values))) or 1.0
    axes.imshow(values, cmap="RdBu", norm=TwoSlopeNorm(0, -limit, limit), aspect="auto")
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
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
    for spine in axes.spines.values():
        spine.set_visible(False)


def _who_caption(changes: pd.DataFrame, sampled: int) -> str:
    return (
        "First-order change of log π of each kind of response, split by the responses whose gradients made the update "
        "(with the optimizer's step size of every weight), and by whether the batch held the observed question. "
        "Earlier batches: momentum and weight decay. Mean over sampled updates and examples, times the number of "
        f"updates of the stage; below, their sum and the actual change over the same updates. {example_count(changes)} "
        f"train probe examples, {sampled} sampled updates a stage."
    )
