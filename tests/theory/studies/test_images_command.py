"""`ldyn images` from the command line, on few steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from ldyn.cli.main import main
from ldyn.config.groups import config_directory
from ldyn.config.loading import load_study_config
from ldyn.config.studies import ImagesStudy
from ldyn.findings.verify import verify
from ldyn.store import read_run
from ldyn.theory.settings import ImagesConfig

SMALL = ["seeds=3", "images.steps=30", "images.observed=1", "images.measure_every=10"]


pytestmark = pytest.mark.usefixtures("command_line")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("images")
    assert main(["images", *SMALL, f"paths.outputs={directory}", "run=first"]) == 0
    return directory / "images" / "first"


def test_it_leaves_tables_a_finding_figures_and_a_page(finished: Path) -> None:
    run = read_run(finished)
    assert set(run.tables) == {"images_influence", "images_changes"}
    [finding] = run.findings
    assert (finding.id, finding.n, finding.seeds) == ("M1", 3, 3)
    assert finding.ci_low <= finding.estimate <= finding.ci_high
    assert {path.name for path in (finished / "figures").iterdir()} == {"images_influence.png"}
    assert run.manifest["counts"] == {"images_read": 1797}
    assert len(run.manifest["hashes"]["data"]) == 64
    assert verify([finished], as_json=True) == 0


def test_the_seeds_are_different_repetitions(finished: Path) -> None:
    table = read_run(finished).tables["images_influence"]
    by_seed = [rows["actual"].to_numpy() for _, rows in table.groupby("seed")]
    assert len(by_seed) == 3
    assert not (by_seed[0] == by_seed[1]).all()


def test_the_defaults_of_the_command_are_those_of_the_code() -> None:
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = load_study_config(ImagesStudy, compose("images", ["run=any"]))
    assert config.images == ImagesConfig()
    assert config.seeds == 5


def test_the_images_can_be_chosen_as_in_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["images", "dataset=mnist", "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["images"]["dataset"] == "mnist"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["images.path=here"], "expected dataset=mnist where path is given"),
        (["images.dataset=mnist", "images.path=nowhere"], "nowhere is not a directory"),
    ],
)
def test_what_cannot_run_is_said_in_words(
    settings: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["images", *settings]) in (1, 2)
    assert said in capsys.readouterr().err
