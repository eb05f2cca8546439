"""`ldyn toy` and `ldyn images` from the command line: whole studies in seconds, their pages, and what cannot run."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from ldyn.cli.hydra_jobs import composed_settings
from ldyn.cli.main import main
from ldyn.config.loading import load_study_config
from ldyn.config.schema import DirectoryConfig, StudyConfig
from ldyn.config.studies import ImagesStudy, ToyStudy
from ldyn.findings.verify import verify
from ldyn.run.studies import Study, run_study
from ldyn.store import read_run
from ldyn.theory.settings import ImagesConfig, ToyConfig

TOY = ["seeds=2", "toy.labels=[12,30]", "toy.starts=4", "toy.step_sizes=[0.2,1]", "toy.steps=2"]
IMAGES = ["seeds=3", "images.steps=30", "images.observed=1", "images.measure_every=10"]

pytestmark = pytest.mark.usefixtures("command_line")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("studies")
    assert main(["toy", *TOY, f"paths.outputs={directory}", "run=first"]) == 0
    assert main(["images", *IMAGES, f"paths.outputs={directory}", "run=first"]) == 0
    return directory


def test_toy_leaves_tables_findings_figures_and_a_page(outputs: Path) -> None:
    run = read_run(outputs / "toy" / "latest")
    assert set(run.tables) == {"toy", "toy_distributions"}
    assert [finding.id for finding in run.findings] == ["T1", "T2", "T3", "T4", "T5"]
    assert {(finding.n, finding.seeds) for finding in run.findings} == {(8, 2)}
    assert {path.name for path in (run.path / "figures").iterdir()} == {"toy_distributions.png"}
    assert run.manifest["seeds"] == [0, 1]
    page = (run.path / "report.html").read_text("utf-8")
    assert "finished" in page
    assert f"ldyn report {run.path.name}<" in page  # the name that the run has now, without .partial


def test_images_leaves_tables_a_finding_figures_and_a_page(outputs: Path) -> None:
    run = read_run(outputs / "images" / "latest")
    assert set(run.tables) == {"images_influence"}
    [finding] = run.findings
    assert (finding.id, finding.n, finding.seeds) == ("M1", 3, 3)
    assert {path.name for path in (run.path / "figures").iterdir()} == {"images_influence.png"}
    assert run.manifest["counts"] == {"images_read": 1797}
    assert verify([run.path], as_json=True) == 0
    by_seed = [rows["actual"].to_numpy() for _, rows in run.tables["images_influence"].groupby("seed")]
    assert len(by_seed) == 3
    assert not (by_seed[0] == by_seed[1]).all()


@pytest.mark.parametrize(
    ("study", "kind", "expected"), [("toy", ToyStudy, ToyConfig()), ("images", ImagesStudy, ImagesConfig())]
)
def test_the_defaults_of_the_command_are_those_of_the_code(study: str, kind: type, expected: object) -> None:
    config = load_study_config(kind, composed_settings(study, ["run=any"]))
    assert getattr(config, study) == expected
    assert config.seeds == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["toy", "toy.labels=[5]"], "toy.labels.0: found 5, expected greater than or equal to 10"),
        (["toy", "toy.peaky=0.5"], "expected peaky above flat; it is 0.5, flat is 1"),
        (["toy", "run=../elsewhere"], "run: found '../elsewhere', expected a name for a directory"),
        (["images", "images.dataset=mnist"], "images.dataset: unknown key"),
    ],
)
def test_what_cannot_run_is_an_error(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) in (1, 2)
    assert said in capsys.readouterr().err


def test_the_error_of_a_study_is_written_down_and_what_was_measured_stays(tmp_path: Path) -> None:
    def broken(study: Study) -> None:
        study.write_table("mine", pd.DataFrame({"change": [0.5]}))
        raise ZeroDivisionError("a mistake")

    partial = tmp_path / "trial" / "first.partial"
    with pytest.raises(ZeroDivisionError) as caught:
        run_study(StudyConfig("trial", "first", 7, DirectoryConfig(tmp_path, tmp_path / "trial" / "first")), broken)
    [note] = caught.value.__notes__
    assert note == f"What was measured so far is in {partial}; a study cannot be resumed; start it again"
    manifest = json.loads((partial / "manifest.json").read_text("utf-8"))
    assert (manifest["status"], manifest["error"]) == ("failed", "ZeroDivisionError: a mistake")
    assert (partial / "mine.parquet").exists()
