"""All figures of a run: each is a function from its material to a drawing, or to the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO

import matplotlib

from ldyn.records import StageInfo
from ldyn.report.figures.arms import arms_side_by_side, wins_by_epoch
from ldyn.report.figures.comparison import extend_comparison, greedy_mass_entropy
from ldyn.report.figures.curves import overview, stage_panel
from ldyn.report.figures.images import images_influence, images_prediction
from ldyn.report.figures.kernel import kernel_norms, token_influence, who_moves_whom
from ldyn.report.figures.material import Drawing, Figure, Material
from ldyn.report.figures.prediction import kernel_shares, prediction_agreement, prediction_error
from ldyn.report.figures.reference import reference_overlay
from ldyn.report.figures.toy import toy_distributions, toy_strength
from ldyn.report.stages import main_stage
from ldyn.report.style import FIGURE_RC

__all__ = ["Drawing", "Figure", "Material", "draw_figures", "figure_settings", "png"]

Draw = Callable[[Material], Drawing | str]

OF_TABLES: dict[str, tuple[str, Draw]] = {
    "toy_distributions.png": ("toy_distributions", toy_distributions),
    "toy_strength.png": ("toy", toy_strength),
    "images_influence.png": ("images_influence", images_influence),
    "images_prediction.png": ("images_changes", images_prediction),
    "wins.png": ("wins", wins_by_epoch),
    "prediction.png": ("changes", prediction_agreement),
    "prediction_error.png": ("changes", prediction_error),
    "kernel_shares.png": ("change_parts", kernel_shares),
    "who_moves_whom.png": ("change_sources", who_moves_whom),
    "kernel_norms.png": ("kernel_norms", kernel_norms),
    "token_influence.png": ("influence", token_influence),
}
"""Figures of a table of the run: file name -> the table, without which there is no such figure, and the function."""


def draw_figures(material: Material) -> tuple[list[Figure], list[str]]:
    """Every figure of the run, and what was not drawn with the reason."""
    figures, notes = [], []
    with figure_settings():
        for name, draw in _plan(material):
            drawing = draw(material)
            if isinstance(drawing, str):
                notes.append(f"{name} is not drawn: {drawing}.")
            else:
                figures.append(Figure(name, png(drawing), drawing.title, drawing.caption))
    return figures, notes


@contextmanager
def figure_settings() -> Iterator[None]:
    """Our settings of matplotlib in this block, so that no matplotlibrc changes a figure."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(FIGURE_RC)  # type: ignore[arg-type]  # stubs list every key
        yield


def _plan(material: Material) -> Iterator[tuple[str, Draw]]:
    """File name and function of each figure, in the order of the page."""
    if not material.is_study:
        yield from _stage_plan(material)
    yield from ((name, draw) for name, (table, draw) in OF_TABLES.items() if table in material.tables)


def _stage_plan(material: Material) -> Iterator[tuple[str, Draw]]:
    yield "overview.png", overview
    yield from _panels(material, "pointwise", "sft_panel")
    yield from _panels(material, "pairwise", "preference_panel")
    yield "extend_comparison.png", extend_comparison
    yield "arms.png", arms_side_by_side
    yield "greedy_mass_entropy.png", greedy_mass_entropy
    if material.reference is not None:
        yield "reference_overlay.png", reference_overlay


def _panels(material: Material, kind: str, name: str) -> Iterator[tuple[str, Draw]]:
    """The panel of the main chain's stage has the plain name, other stages of the kind add theirs."""
    stages = [stage for stage in material.stages if stage.kind == kind]
    first = main_stage(material.stages, kind)
    if first is None:
        yield f"{name}.png", lambda _: f"no {kind} stage has been evaluated"
    for stage in sorted(stages, key=lambda stage: stage is not first):
        suffix = "" if stage is first else f"-{_safe(stage.name)}"
        yield f"{name}{suffix}.png", _panel_of(stage)


def _panel_of(stage: StageInfo) -> Draw:
    return lambda material: stage_panel(material, stage)


def _safe(name: str) -> str:
    """A stage name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60] or "stage"


def png(drawing: Drawing) -> bytes:
    """The figure as a PNG file."""
    picture = BytesIO()
    drawing.canvas.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
