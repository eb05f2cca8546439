"""Scores taken before a stage against what became of y⁺ in it (claims K4, K5)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ldyn.numerics.statistics import rank_correlation
from ldyn.report.figures.axes import zero_line
from ldyn.report.figures.layout import PanelSize, grid_cells, head_and_foot, lay_out
from ldyn.report.figures.material import Drawing, Material
from ldyn.report.style import curve_style

_SCORES = {
    "entanglement": "gradient entanglement  ⟨∇s₊, ∇s₋⟩ − ‖∇s₊‖²",
    "ches": "CHES  ⟨Σh⁺, Σh⁻⟩ − ‖Σh⁺‖²",
}


def displacement_scores(material: Material) -> Drawing | str:
    """Each pair is a point: how its score at the start of the stage goes with the change of log π(y⁺) over it."""
    table = material.tables["displacement"]
    table = table[table["stage"] == table["stage"].iloc[0]].dropna(subset=["change"])
    if len(table) < 2:
        return "it needs a trained run, to see what became of y⁺"
    canvas, panels = lay_out(grid_cells(1, 2), PanelSize(3.4, 2.8, 0.3))
    found = {score: _draw(axes, table, score) for axes, score in zip(panels, _SCORES, strict=True)}
    stage = str(table["stage"].iloc[0])
    panels[0].set_ylabel("change of log π(y⁺) (nats)")
    title = f"Before {stage}: which chosen answers will fall?"
    head_and_foot(canvas, title, f"Each point: one of {len(table)} probed training pairs. Higher scores are to fall.")
    return Drawing(canvas, title, _caption(len(table), stage), _alt(found))


def _draw(axes: Axes, table: pd.DataFrame, score: str) -> float:
    style = curve_style("chosen")
    axes.scatter(table[score], table["change"], s=14, color=style.colour, alpha=0.6, linewidths=0, zorder=3)
    zero_line(axes)
    axes.set_xlabel(_SCORES[score])
    values, fall = table[score].to_numpy(np.float64), -table["change"].to_numpy(np.float64)
    correlation = float(rank_correlation(values[None], fall[None])[0])
    axes.set_title(f"rank correlation with the fall: {correlation:+.2f}".replace("-", "−"))
    return correlation


def _caption(n: int, stage: str) -> str:
    return (
        f"Two scores of each pair, from the weights at the start of {stage}, against the change of log π(y⁺) over the "
        "stage. Gradient entanglement above 0: the pair's own step lowers y⁺. CHES: the same by last-layer hidden "
        f"states alone. Spearman's ρ of the score with minus the change; {n} probed training pairs."
    )


def _alt(found: dict[str, float]) -> str:
    listed = ", ".join(f"{score} {value:+.2f}" for score, value in found.items())
    return f"Two scatter plots. Rank correlation of the score with the fall of the chosen answer: {listed}."
