"""Another run laid beside this one: normalised by hand-worked ranges, stages found by kind, one figure more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ldyn.errors import RunDirectoryError
from ldyn.records import StageInfo
from ldyn.report import build_report
from ldyn.report.curves import summarise
from ldyn.report.figures.comparison import beside_reference
from ldyn.report.figures.material import Material
from ldyn.report.published import published_runs
from ldyn.report.style import curve_style


def material(synthetic: Any, stages: Any, reference: Material | None = None, name: str = "", **how: Any) -> Material:
    infos = [StageInfo(**{**stage, "view": tuple(stage["view"])}) for stage in stages]
    how = {"n_examples": 4, "evaluations": 3, "splits": ("train",), "probes": ("chosen", "irr_test"), **how}
    return Material(summarise(synthetic.trajectories(stages, **how)), infos, name=name, reference=reference)


def test_a_run_and_its_reference_share_an_axis_in_nats(synthetic: Any) -> None:
    longer = [{**stage, "name": f"their_{stage['name']}", "start": "base"} for stage in synthetic.squeeze]
    reference = material(synthetic, longer, evaluations=6, name="theirs $1", probes=("chosen", "rejected"))
    ours = material(synthetic, synthetic.squeeze, reference, "ours")
    drawing = beside_reference(ours)
    assert not isinstance(drawing, str)
    sft, their_sft, dpo, their_dpo = drawing.canvas.axes
    assert sft.get_title() == "ours: SFT on y⁺"
    assert their_dpo.get_title() == r"theirs \$1: DPO of y⁺ against y⁻"
    assert sft.get_ylim() == their_sft.get_ylim() != dpo.get_ylim() == their_dpo.get_ylim()
    curve = ours.curve(ours.stages[0], "chosen")["change"]
    assert sft.get_lines()[0].get_ydata() == pytest.approx(curve.to_numpy())
    assert sft.get_lines()[0].get_color() == their_sft.get_lines()[0].get_color() == curve_style("chosen").colour


def test_a_reference_without_a_stage_of_the_kind_is_not_drawn(synthetic: Any) -> None:
    reference = material(synthetic, synthetic.squeeze[1:], name="only dpo")
    words = beside_reference(material(synthetic, synthetic.squeeze[:1], reference))
    assert words == "only dpo has no stage of a kind that this run has"


def test_published_curves_are_those_that_the_logs_give(shared_directory: Path) -> None:
    """The committed copy is what `make published` writes; ‖levels‖ by hand from the logs' own numbers."""
    runs = published_runs()
    rows = json_lines(shared_directory / "reference_logs" / "qwen1_8b_dpo" / "prob_train_metrics.json")
    dpo = runs["Qwen1.5-1.8B"].material
    curve = dpo.curve(dpo.stages[1], "rejected")
    expected = [row["logps_eval_prob_train/rejected"] for row in rows]
    assert curve["level"].tolist() == pytest.approx(expected, rel=1e-6)
    assert {one.id: one.estimate for one in runs["Pythia-410M"].findings}["S1"] == pytest.approx(59.56, abs=0.01)


def json_lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_report_has_the_figure_and_leaves_the_reference_alone(synthetic: Any, tmp_path: Path) -> None:
    how = {"n_examples": 3, "evaluations": 3, "splits": ("train",), "probes": ("chosen", "rejected")}
    table = synthetic.trajectories(synthetic.squeeze, **how)
    ours, theirs = (synthetic.write(tmp_path / name, trajectories=table) for name in ("ours", "theirs"))
    assert "figures/reference.png" in build_report(ours, theirs).read_text()
    assert not (theirs / "figures").exists()
    with pytest.raises(RunDirectoryError, match="There is no run directory"):
        build_report(ours, tmp_path / "nowhere")
