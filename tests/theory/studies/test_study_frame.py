"""The frame of a study when it fails: its manifest has the error, and what was measured stays."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from ldyn.config.schema import DirectoryConfig, StudyConfig
from ldyn.run.studies import Study, run_study

FRAME = pd.DataFrame({"seed": [0, 1], "change": [0.5, -0.25]})


@pytest.fixture
def config(tmp_path: Path) -> StudyConfig:
    return StudyConfig("trial", "first", 7, DirectoryConfig(tmp_path, tmp_path / "trial" / "first"))


def measure(study: Study) -> None:
    with study.timed("measuring"):
        study.write_table("mine", FRAME)
    study.describe(counts={"rows": 2})


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
