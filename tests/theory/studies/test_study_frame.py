"""The frame of a study: a run directory with tables of its own, which verify and report read as they read any run."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ldyn.config.schema import DirectoryConfig, StudyConfig
from ldyn.findings.verify import verify
from ldyn.report import build_report
from ldyn.run.studies import Study, run_study

FRAME = pd.DataFrame({"seed": [0, 1], "change": [0.5, -0.25]})


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    return StudyConfig("trial", "first", 7, DirectoryConfig(tmp_path, tmp_path / "trial" / "first"))


def measure(study: Study) -> None:
    with study.timed("measuring"):
        study.write_table("mine", FRAME)
    study.describe(counts={"rows": 2})


def test_a_study_leaves_a_run_directory_with_its_tables(config: StudyConfig) -> None:
    run = run_study(config, measure)
    assert run.path == config.paths.run
    assert (run.path.parent / "latest").resolve() == run.path
    pd.testing.assert_frame_equal(run.tables["mine"], FRAME)
    assert run.stages == ()
    assert {path.name for path in run.path.iterdir()} == {
        "config.yaml", "manifest.json", "mine.parquet", "findings.json", "report.html",
    }  # fmt: skip
    assert yaml.safe_load(run.config_text)["seed"] == 7


def test_verify_and_report_work_on_it(config: StudyConfig, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_study(config, measure)
    assert "finished" in build_report(run.path).read_text("utf-8")
    assert verify([run.path], as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["stored"] == "same"


def test_an_error_is_written_down_and_what_was_measured_stays(config: StudyConfig) -> None:
    def broken(study: Study) -> None:
        measure(study)
        raise ZeroDivisionError("a mistake")

    with pytest.raises(ZeroDivisionError) as caught:
        run_study(config, broken)
    partial = config.paths.run.with_name("first.partial")
    assert caught.value.__notes__ == [
        f"What was measured so far is in {partial}; a study cannot be resumed; start it again"
    ]
    manifest = json.loads((partial / "manifest.json").read_text("utf-8"))
    assert (manifest["status"], manifest["error"]) == ("failed", "ZeroDivisionError: a mistake")
    assert (partial / "mine.parquet").exists()
