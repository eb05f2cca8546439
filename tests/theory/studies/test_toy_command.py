"""`ldyn toy` from the command line: a whole study in seconds, its page, and what cannot run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from ldyn.cli.main import main
from ldyn.config.groups import config_directory
from ldyn.config.loading import load_study_config
from ldyn.config.studies import ToyStudy
from ldyn.store import read_run
from ldyn.theory.settings import ToyConfig

SMALL = ["seeds=2", "toy.labels=[12,30]", "toy.starts=4", "toy.step_sizes=[0.2,1]", "toy.steps=2"]


pytestmark = pytest.mark.usefixtures("command_line")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("toy")
    assert main(["toy", *SMALL, f"paths.outputs={directory}", "run=first"]) == 0
    return directory / "toy" / "first"


def test_it_leaves_tables_findings_figures_and_a_page(finished: Path) -> None:
    run = read_run(finished)
    assert set(run.tables) == {"toy", "toy_distributions"}
    assert [finding.id for finding in run.findings] == ["T1", "T2", "T3", "T4", "T5"]
    assert {(finding.n, finding.seeds) for finding in run.findings} == {(8, 2)}
    assert {path.name for path in (finished / "figures").iterdir()} == {"toy_distributions.png"}
    assert run.manifest["seeds"] == [0, 1]
    assert (finished.parent / "latest").resolve() == finished


def test_the_same_seeds_give_the_same_numbers(finished: Path, tmp_path: Path) -> None:
    assert main(["toy", *SMALL, f"paths.outputs={tmp_path}", "run=again"]) == 0
    assert (tmp_path / "toy" / "again" / "findings.json").read_bytes() == (finished / "findings.json").read_bytes()


def test_the_defaults_of_the_command_are_those_of_the_code() -> None:
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = load_study_config(ToyStudy, compose("toy", ["run=any"]))
    assert config.toy == ToyConfig()
    assert config.seeds == 5


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("toy.labels=[5]", "toy.labels.0: found 5, expected greater than or equal to 10"),
        ("toy.peaky=0.5", "expected peaky above flat; it is 0.5, flat is 1"),
        ("run=../elsewhere", "run: found '../elsewhere', expected a name for a directory"),
    ],
)
def test_what_cannot_run_is_said_in_words(
    setting: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["toy", setting]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_gives_a_directory_for_each_job(tmp_path: Path) -> None:
    assert main(["toy", "-m", "seed=3,5", *SMALL, f"hydra.sweep.dir={tmp_path}"]) == 0
    runs = [read_run(tmp_path / job) for job in ("0", "1")]
    assert [run.manifest["seeds"] for run in runs] == [[3, 4], [5, 6]]
