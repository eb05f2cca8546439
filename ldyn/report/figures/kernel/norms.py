"""Norms of the kernel over training, and the paper's proxies beside them (claim K1)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ldyn.numerics.statistics import rank_correlation
from ldyn.report.figures.axes import zero_line
from ldyn.report.figures.kernel.common import example_count, mean_and_half, minus_signs, stages_of, updates_axis
from ldyn.report.figures.labels import EndLabel, label_ends
from ldyn.report.figures.layout import PanelSize, grid_cells, head_and_foot, lay_out
from ldyn.report.figures.material import Drawing, Material
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
        means = _means(table[table["stage"] == stage], name)
        ends[axes] = _draw(axes, means, logarithmic=name in _LOGARITHMIC)
        _dress(axes, name, stage, means, _means(truth[truth["stage"] == stage], "per_pair"))
    for axes in panels[:: len(stages)]:
        axes.set_ylabel(rows[list(rows)[panels.index(axes) // len(stages)]])
    title = "The kernel between y⁺ and each response over training, and two proxies of its size"
    head_and_foot(canvas, title, _foot(norms))
    for axes, labels in ends.items():
        axes.viewLim  # noqa: B018 - asking for it makes matplotlib settle limits that it had put off
        label_ends(axes, labels, canvas.dpi)
    return Drawing(canvas, title, _caption(norms), _alt(truth, stages))


def _means(table: pd.DataFrame, name: str) -> dict[str, pd.DataFrame]:
    """Probe -> examples × steps, of logarithms where the axis is logarithmic."""
    shown = table.assign(
        shown=table[name].where(table[name] > 0).map(np.log10) if name in _LOGARITHMIC else table[name]
    )
    return {
        probe: shown[shown["probe"] == probe].pivot(index="example_id", columns="step", values="shown")
        for probe in order_probes(set(table["probe"]))
    }


def _draw(axes: Axes, values: Mapping[str, pd.DataFrame], *, logarithmic: bool) -> list[EndLabel]:
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


def _dress(
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
    """Spearman's ρ over response types between mean proxy and mean norm, mean over moments."""
    probes = [probe for probe in truth if probe in proxy]
    left, right = (pd.DataFrame({p: values[p].mean() for p in probes}).sort_index() for values in (proxy, truth))
    steps = left.index.intersection(right.index)
    correlations = rank_correlation(left.loc[steps].to_numpy(), right.loc[steps].to_numpy())
    return float(pd.Series(correlations).mean())  # of the moments where there is one


def _foot(norms: pd.DataFrame) -> str:
    error = float((norms["standard_error"] / norms["norm"]).median())
    return (
        f"‖K‖: {example_count(norms)} train probe examples, median standard error of a norm {error:.1%}. Geometric "
        "means where the axis is logarithmic; bands: 95 % t-intervals over examples."
    )


def _caption(norms: pd.DataFrame) -> str:
    return (
        "Above: root mean square over token pairs of ‖K‖_F, the empirical neural tangent kernel between [x; y⁺] and "
        "each response to the same question, by random projections. Middle and below: the paper's proxies at the same "
        "moments, from the change of log π over the next update: its norm (LBK) or its sum (SignDelta) over ‖A‖ and "
        "the residual's norm. The titles say how well they order the response types (Spearman's ρ, mean over moments). "
        + _foot(norms)
    )


def _alt(truth: pd.DataFrame, stages: list[str]) -> str:
    parts = []
    for stage in stages:
        means = truth[truth["stage"] == stage].groupby("probe")["per_pair"].mean().sort_values(ascending=False)
        parts.append(f"{stage}: " + ", ".join(f"{probe} {value:.3g}" for probe, value in means.items()))
    return f"Line charts. Mean norms per token pair, largest first: {'; '.join(parts)}."
