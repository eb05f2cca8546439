"""Another run laid beside this one: normalised by hand-worked ranges, stages found by kind, one figure more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ldyn.errors import RunDirectoryError
from ldyn.records import StageInfo
from ldyn.report import build_report
from ldyn.report.curves import summarise
from ldyn.report.figures.material import Material
from ldyn.report.figures.reference import reference_overlay
from ldyn.report.style import curve_style


def material(synthetic: Any, stages: Any, reference: Material | None = None, name: str = "", **how: Any) -> Material:
    infos = [StageInfo(**{**stage, "view": tuple(stage["view"])}) for stage in stages]
    how = {"n_examples": 4, "evaluations": 3, "splits": ("train",), "probes": ("chosen", "irr_test"), **how}
    return Material(summarise(synthetic.trajectories(stages, **how)), infos, name=name, reference=reference)


def test_both_runs_are_drawn_in_one_colour_the_reference_dashed(synthetic: Any) -> None:
    longer = [{**stage, "name": f"their_{stage['name']}", "start": "base"} for stage in synthetic.squeeze]
    reference = material(synthetic, longer, evaluations=6, name="theirs", probes=("chosen", "rejected"))
    drawing = reference_overlay(material(synthetic, synthetic.squeeze, reference, "ours"))
    assert not isinstance(drawing, str)
    titles = [axes.get_title() for axes in drawing.canvas.axes]
    assert [title.split(" $")[0] for title in titles] == ["chosen", "greedy mass"] * 2  # shared probes, two stages
    assert {axes.get_ylabel() for axes in drawing.canvas.axes} == {"SFT: change (nats)", "DPO: change (nats)"}
    dashed, solid = drawing.canvas.axes[0].get_lines()[:2]
    assert (len(dashed.get_xdata()), len(solid.get_xdata())) == (6, 3)
    assert dashed.get_color() == solid.get_color() == curve_style("chosen").colour
    assert (dashed.is_dashed(), solid.is_dashed()) == (True, False)
    for line in (dashed, solid):
        assert (min(line.get_xdata()), max(line.get_xdata())) == (0, 1)
    assert "theirs (dashed)" in drawing.caption
    change = material(synthetic, synthetic.squeeze).curve(StageInfo(**synthetic.squeeze[0]), "chosen")["change"]
    assert solid.get_ydata() == pytest.approx(change.to_numpy())  # in nats, on one axis a stage
    limits = [axes.get_ylim() for axes in drawing.canvas.axes]
    assert limits[0] == limits[1] != limits[2] == limits[3]


def test_a_reference_without_a_stage_of_the_kind_is_not_drawn(synthetic: Any) -> None:
    reference = material(synthetic, synthetic.squeeze[1:], name="only dpo")
    words = reference_overlay(material(synthetic, synthetic.squeeze[:1], reference))
    assert words == "only dpo has no stage with the kind, the view and a probe of a stage of this run"


def test_the_report_has_the_figure_and_leaves_the_reference_alone(synthetic: Any, tmp_path: Path) -> None:
    how = {"n_examples": 3, "evaluations": 3, "splits": ("train",), "probes": ("chosen", "rejected")}
    table = synthetic.trajectories(synthetic.squeeze, **how)
    ours, theirs = (synthetic.write(tmp_path / name, trajectories=table) for name in ("ours", "theirs"))
    assert "figures/reference_overlay.png" in build_report(ours, theirs).read_text()
    assert not (theirs / "figures").exists()
    with pytest.raises(RunDirectoryError, match="There is no run directory"):
        build_report(ours, tmp_path / "nowhere")
