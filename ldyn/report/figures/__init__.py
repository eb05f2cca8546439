"""All figures of a run: each is a function from its material to a drawing, or to the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO

import matplotlib

from ldyn.report.figures.arms import arms_side_by_side
from ldyn.report.figures.batch_means import batch_mean_curves
from ldyn.report.figures.comparison import beside_reference, extend_comparison
from ldyn.report.figures.curves import overview, reward_curves, stage_panel
from ldyn.report.figures.decomposition import (
    kernel_norms,
    kernel_shares,
    who_moves_whom,
    whole_stage,
)
from ldyn.report.figures.material import Drawing, Figure, Material
from ldyn.report.figures.studies import images_influence, toy_distributions
from ldyn.report.html import attempt
from ldyn.report.stages import main_stage
from ldyn.report.style import FIGURE_RC
from ldyn.store.batch_logs import BATCH_MEANS

__all__ = ["Drawing", "Figure", "Material", "draw_figures", "figure_settings", "png"]

Draw = Callable[[Material], Drawing | str]

OF_TABLES: dict[str, tuple[str, Draw]] = {
    "toy_distributions": ("toy_distributions", toy_distributions),
    "images_influence": ("images_influence", images_influence),
    "rewards": ("rewards", reward_curves),
    BATCH_MEANS: (BATCH_MEANS, batch_mean_curves),
    "whole_stage": ("stage_changes", whole_stage),
    "kernel_shares": ("change_parts", kernel_shares),
    "who_moves_whom": ("change_sources", who_moves_whom),
    "kernel_norms": ("kernel_norms", kernel_norms),
}
"""Figures of a table of the run: name -> the table, without which there is no such figure, and the function."""


def draw_figures(material: Material) -> tuple[list[Figure], list[str]]:
    """Every figure of the run, and what was not drawn with the reason."""
    figures, notes = [], []
    with figure_settings():
        for name, draw in _plan(material):
            picture = attempt(partial(_picture, name, draw, material))
            if isinstance(picture, str):
                notes.append(f"{name}.png is not drawn: {picture}.")
            else:
                figures.append(picture)
    return figures, notes


def _picture(name: str, draw: Draw, material: Material) -> Figure | str:
    drawing = draw(material)
    return drawing if isinstance(drawing, str) else Figure(f"{name}.png", png(drawing), drawing.title, drawing.caption)


@contextmanager
def figure_settings() -> Iterator[None]:
    """Our settings of matplotlib in this block, so that no matplotlibrc changes a figure."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(FIGURE_RC)  # type: ignore[arg-type]  # stubs list every key
        yield


def _plan(material: Material) -> Iterator[tuple[str, Draw]]:
    """Name and function of each figure, in the order of the page."""
    if BATCH_MEANS not in material.tables and not material.is_study:
        yield "overview", overview
        yield from _panels(material, "pointwise", "sft_panel")
        yield from _panels(material, "pairwise", "preference_panel")
        yield "extend_comparison", extend_comparison
        yield "arms", arms_side_by_side
    if material.reference is not None and not material.is_study:
        yield "reference", beside_reference
    yield from ((name, draw) for name, (table, draw) in OF_TABLES.items() if table in material.tables)


def _panels(material: Material, kind: str, name: str) -> Iterator[tuple[str, Draw]]:
    """The panel of the main chain's stage has the plain name, other stages of the kind add theirs."""
    stages = [stage for stage in material.stages if stage.kind == kind]
    first = main_stage(material.stages, kind)
    if first is None:
        yield name, lambda _: f"no {kind} stage has been evaluated"
    for stage in sorted(stages, key=lambda stage: stage is not first):
        suffix = "" if stage is first else "-" + re.sub(r"[^A-Za-z0-9_-]+", "_", stage.name)[:60]
        yield name + suffix, partial(stage_panel, stage=stage)


def png(drawing: Drawing) -> bytes:
    """The figure as a PNG file."""
    picture = BytesIO()
    drawing.canvas.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
