"""Figures of a decomposition, drawn from small tables whose numbers are known."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from ldyn.records import TRAJECTORY_COLUMNS
from ldyn.report.curves import summarise
from ldyn.report.figures import Drawing, Figure, Material, draw_figures
from ldyn.report.figures.decomposition import (
    ACTUAL,
    TOTAL,
    accumulated,
    shares_of_parts,
    whole_stage,
)

PROBES = ("chosen", "rejected", "irr_hum", "my_own_probe")
SIZES = (0.1, 1.0, 10.0)


def rows(*more: tuple[str, tuple[object, ...]]) -> pd.DataFrame:
    """Every combination of two stages, three moments, five examples, the probes, and ``more``."""
    names = ["stage", "step", "example_id", "probe", *(name for name, _ in more)]
    values = [("sft", "dpo"), (0, 5, 10), [f"q{i}" for i in range(5)], PROBES, *(values for _, values in more)]
    frame = pd.DataFrame(list(product(*values)), columns=names)
    noise = np.random.default_rng(0).normal(size=len(frame))
    return frame.assign(predicted=noise, actual=noise, in_batch=frame["example_id"] == "q0", learning_rate=1e-3)


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Predictions p; what happens at step size α is α p + 0.01 α²; half of it passes through the unembedding."""
    changes = rows(("step_size", SIZES))
    changes["actual"] = changes["predicted"] * changes["step_size"] + 0.01 * changes["step_size"] ** 2
    changes["predicted"] *= changes["step_size"]
    parts = rows(("part", ("layer 1", "unembedding"))).sort_values("part", kind="stable")
    whole = rows()["predicted"].to_numpy()
    parts["predicted"], parts["actual"] = np.tile(whole / 2, 2), np.tile(whole, 2)
    parts["gradient_descent"] = np.concatenate([whole / 4, 3 * whole / 4])
    sources = rows(("source", ("chosen", "rejected", "earlier batches")))
    norms = rows(("updated", ("chosen", "rejected"))).assign(norm=2.0, per_pair=1.0, standard_error=0.1)
    norms["per_pair"] += norms["probe"].map(PROBES.index)
    stage = rows().query("step == 10").assign(segments=7)
    stage = stage.assign(kernel_at_start=0.5 * stage["actual"], kernel_at_snapshots=stage["actual"])
    named = {"change_parts": parts, "change_sources": sources, "kernel_norms": norms, "stage_changes": stage}
    return {"changes": changes, **named}


def material(tables: dict[str, pd.DataFrame]) -> Material:
    return Material(summarise(pd.DataFrame(columns=list(TRAJECTORY_COLUMNS))), (), tables, is_study=True)


@pytest.fixture(scope="module")
def drawn(tables) -> tuple[list[Figure], list[str]]:
    """All figures, and what is said of those that could not be drawn."""
    return draw_figures(material(tables))


def texts(drawing: Drawing | str) -> str:
    """Everything that is written on a figure."""
    assert not isinstance(drawing, str)
    return "\n".join(text.get_text() for text in drawing.canvas.findobj(Text))


def test_every_figure_is_drawn_and_has_a_caption(drawn) -> None:
    figures, notes = drawn
    assert notes == []
    names = {"whole_stage.png", "kernel_shares.png", "who_moves_whom.png", "kernel_norms.png"}
    assert {figure.name for figure in figures} == names
    for figure in figures:
        assert figure.title
        assert len(figure.caption) > 80


def test_figures_show_the_numbers(tables) -> None:
    for fit in ("slope 2.00\nrelative error 0.50", "slope 1.00\nrelative error 0.00"):  # at the start, by snapshots
        assert fit in texts(whole_stage(material(tables)))


def test_shares_of_all_parts_add_up(tables) -> None:
    parts = tables["change_parts"]
    for stage, update, expected in (("sft", "actual", (0.5, 0.5)), ("dpo", "gradient_descent", (0.25, 0.75))):
        shares = shares_of_parts(parts[parts["stage"] == stage], update)
        means = {part: float(values.to_numpy().mean()) for part, values in shares.items()}
        assert means == pytest.approx({"layer 1": expected[0], "unembedding": expected[1], "all parts": 1.0})


def test_accumulated_influence_by_hand() -> None:
    """Two examples, two moments, the last after 10 updates; one of the four saw its own question in the batch.

    y⁺: 10 · 0.4/4 from the own question, 10 · (0.1 + 0.1 + 0.2)/4 from others; what happened: 10 · (0.5 + 0.1 · 3)/4.
    """
    keys = {"example_id": ["a", "b", "a", "b"], "step": [0, 0, 10, 10], "probe": "chosen"}
    seen = [True, False, False, False]
    sources = pd.DataFrame({**keys, "source": "chosen", "in_batch": seen, "predicted": [0.4, 0.1, 0.1, 0.2]})
    changes = pd.DataFrame({**keys, "step_size": 1.0, "actual": [0.5, 0.1, 0.1, 0.1]})
    found = accumulated(sources, changes)["chosen"]
    assert found["y⁺ of the same question"] == pytest.approx(1.0)
    assert found["y⁺ of other questions"] == pytest.approx(1.0)
    assert found[TOTAL] == pytest.approx(2.0)
    assert found[ACTUAL] == pytest.approx(2.0)
