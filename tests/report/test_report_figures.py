"""What is drawn of whole, partial and odd runs, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ldyn.records import StageInfo
from ldyn.report import build_report
from ldyn.report.curves import over_seeds, summarise
from ldyn.report.figures.curves import overview
from ldyn.report.figures.material import Material
from ldyn.report.figures.studies import images_influence

from .selecting import select

PNG = b"\x89PNG\r\n\x1a\n"


def drawn(report: Path) -> set[str]:
    files = list((report.parent / "figures").iterdir())
    assert all(file.read_bytes().startswith(PNG) for file in files)
    return {file.name for file in files}


def test_a_run_with_both_arms_has_all_figures(extend_report: Path) -> None:
    assert drawn(extend_report) == {
        "overview.png",
        "sft_panel.png",
        "sft_panel-wide.png",
        "preference_panel.png",
        "preference_panel-push_wide.png",
        "extend_comparison.png",
    }


def small(synthetic: Any, **changes: Any) -> Any:
    wanted = {"n_examples": 3, "evaluations": 2, "splits": ("train",), "probes": ("chosen", "rejected"), **changes}
    stages = wanted.pop("stages", synthetic.squeeze)
    return {"stages": stages, "trajectories": synthetic.trajectories(stages, **wanted)}


def test_a_run_without_a_pairwise_stage_says_so(synthetic: Any, tmp_path: Path) -> None:
    run = small(synthetic, stages=synthetic.squeeze[:1])
    report = build_report(synthetic.write(tmp_path / "run", **run))
    assert drawn(report) == {"overview.png", "sft_panel.png"}
    page = report.read_text(encoding="utf-8")
    assert "preference_panel.png is not drawn: no pairwise stage has been evaluated." in page
    assert "extend_comparison.png is not drawn: it needs a baseline and an extend arm" in page


@pytest.mark.parametrize(
    "oddity",
    [
        {"evaluations": 1},
        {"n_examples": 1},
        {"probes": ("irr_hum", "own_probe_$1$")},
        {"splits": ("test",)},
    ],
    ids=["one evaluation", "one example", "no chosen", "test split only"],
)
def test_odd_runs_are_drawn_as_far_as_they_go(synthetic: Any, tmp_path: Path, oddity: dict[str, Any]) -> None:
    report = build_report(synthetic.write(tmp_path / "run", **small(synthetic, **oddity)))
    assert {"overview.png", "sft_panel.png", "preference_panel.png"} <= drawn(report)


def test_a_run_that_has_scored_nothing_gets_a_page_all_the_same(synthetic: Any, tmp_path: Path) -> None:
    empty = small(synthetic)["trajectories"].iloc[:0]
    manifest = {**synthetic.manifest(synthetic.squeeze), "status": "interrupted"}
    run = synthetic.write(tmp_path / "run", trajectories=empty, manifest=manifest, findings=None, samples=None)
    page = build_report(run).read_text(encoding="utf-8")
    assert "No probe has been scored in this run yet." in page
    assert "The run was interrupted" in page
    assert not (run / "figures").exists()


def test_each_stage_has_its_own_scale(synthetic: Any) -> None:
    """SFT moves by hundreds of nats, DPO by a few: both can be seen."""
    table = synthetic.trajectories(synthetic.squeeze, ("chosen", "rejected"), 3, 3, ("train",))
    table.loc[table["stage"] == "warm", "logp"] *= 20
    stages = [StageInfo(**{**stage, "view": tuple(stage["view"])}) for stage in synthetic.squeeze]
    drawing = overview(Material(summarise(table), stages))
    warm, push = (np.ptp(axes.get_ylim()) for axes in drawing.canvas.axes)
    assert warm > 4 * push


def test_over_seeds_the_band_is_between_seeds(synthetic: Any) -> None:
    """Changes of −3, −4 and −5 nats: 4.303 · 1 / √3."""
    table = synthetic.trajectories(synthetic.squeeze[:1], ("chosen",), 4, 2, ("train",))
    courses = [table.assign(logp=np.where(table["step"] > 0, change, 0) - 10.0) for change in (-3, -4, -5)]
    runs = [summarise(course, ("logp",)) for course in courses]
    last = select(over_seeds(runs), "warm", "chosen").iloc[-1]
    assert (last["change"], last["change_n"]) == (pytest.approx(-4), 3)
    assert last["change_half"] == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    shorter = [runs[0], runs[1][runs[1]["step"] == 0]]
    assert select(over_seeds(shorter), "warm", "chosen")["step"].tolist() == [0]  # an unfinished run has no more


@pytest.mark.parametrize(("largest", "written", "unit"), [(30.0, "30", ""), (2.5, "2.5", ""), (0.0034, "3.4", "{-3}")])
def test_small_influences_are_written_with_digits(largest: float, written: str, unit: str) -> None:
    rows = [(i, j, k, largest * (i == j)) for i in range(3) for j in range(3) for k in {i, j}]
    table = pd.DataFrame(rows, columns=["learned", "observed", "label", "actual"]).assign(seed=0)
    curves = pd.DataFrame({name: [] for name in ("stage", "split", "probe", "quantity")})
    drawing = images_influence(Material(curves, (), {"images_influence": table}))
    texts = [text.get_text() for text in drawing.canvas.axes[0].texts]
    assert texts[0] == written
    assert unit in drawing.canvas.axes[0].get_title()
    assert "−0" not in "".join(texts)
