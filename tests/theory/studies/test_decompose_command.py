"""`ldyn decompose` from the command line, on a run with snapshots and on a model before any training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ldyn.cli.main import main
from ldyn.store import read_run

SMOKE = [
    "+exp=smoke", "logger=none", "decompose=default",
    "+stages.dpo.trainer.snapshots={kind: linear, points: 3, every: null}",
    "probes.families=[chosen,rejected,irr_train]",
]  # fmt: skip
FEW = [
    "decompose.examples=2", "decompose.kernel_examples=1", "decompose.projections=2", "decompose.step_sizes=[0.1,1.0]",
]  # fmt: skip
TABLES = {"changes", "change_parts", "change_sources", "kernel_norms", "displacement", "stage_changes"}
FIGURES = {"whole_stage.png", "kernel_shares.png", "who_moves_whom.png", "kernel_norms.png"}


pytestmark = pytest.mark.usefixtures("command_line")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def trained(outputs: Path) -> Path:
    """A run that decomposed itself when its stages were trained: what `+exp=decompose` does, in seconds."""
    assert main(["train", *SMOKE, *FEW, f"paths.outputs={outputs}", "run=first"]) == 0
    return outputs / "smoke" / "first"


@pytest.fixture(scope="module")
def studied(trained: Path, outputs: Path) -> Path:
    """The start of its DPO again, on one pair."""
    pair = read_run(trained).tables["displacement"]["example_id"].iloc[0]
    words = ["decompose", f"decompose.run={trained}", "decompose.stages=[dpo]", "decompose.steps=[0]", *FEW]
    assert main([*words, f"decompose.pairs=[{pair}]", f"paths.outputs={outputs}", "run=again"]) == 0
    return outputs / "decomposition" / "again"


def test_a_run_decomposes_itself(trained: Path) -> None:
    run = read_run(trained)
    assert set(run.tables) == TABLES
    table = run.tables["changes"]
    assert set(zip(table["stage"], table["step"], strict=True)) == {("sft", 0), ("dpo", 0), ("dpo", 2), ("dpo", 4)}
    small = table[table["step_size"] == 0.1]
    assert small["predicted"].corr(small["actual"]) > 0.99
    assert {"K1", "K2", "K3", "K4", "K5", "K6"} <= {finding.id for finding in run.findings}
    assert {path.name for path in (trained / "figures").iterdir()} >= FIGURES
    kept = {path.name for path in (trained / "checkpoints" / "dpo").iterdir() if path.is_dir()}
    assert kept == {"final", "snapshot-2", "snapshot-4"}


def test_a_study_of_a_run_has_tables_and_findings_of_its_own(trained: Path, studied: Path) -> None:
    run = read_run(studied)
    assert run.stages == ()
    assert set(run.tables) == TABLES
    assert {finding.id for finding in run.findings} <= {"K2", "K3", "K4", "K5", "K6"}
    assert set(run.tables["changes"]["stage"]) == {"dpo"}
    assert run.tables["changes"].groupby("example_id")["in_batch"].first().sum() <= 1
    ours, theirs = (dict(one.manifest["hashes"]) for one in (run, read_run(trained)))
    assert ours.pop("settings") != theirs.pop("settings")
    assert ours == theirs
    stored = yaml.safe_load(run.config_text)
    assert stored["experiment"]["name"] == "smoke"
    assert stored["decompose"]["run"] == str(trained)


def test_what_became_of_chosen_is_told_by_the_runs_trajectories(trained: Path, studied: Path) -> None:
    run, table = read_run(trained), read_run(studied).tables["displacement"].set_index("example_id")
    chosen = run.trajectories.query("stage == 'dpo' and split == 'train' and probe == 'chosen'")
    course = chosen.pivot(index="example_id", columns="step", values="logp")
    for example, change in (course[4] - course[0]).items():
        assert table.loc[example, "change"] == pytest.approx(change)


def test_without_a_run_it_is_the_first_update_of_what_is_composed(outputs: Path, trained: Path) -> None:
    smoke = yaml.safe_load((trained / "config.yaml").read_text(encoding="utf-8"))
    world = [f"dataset.{key}={smoke['dataset'][key]}" for key in ("people", "test_people", "pairs", "documents")]
    probes = [f"dataset.{key}={smoke['dataset'][key]}" for key in ("train_probes", "test_probes")]
    model = [
        f"model.{key}={smoke['model'][key]}" for key in ("hidden_size", "layers", "heads", "steps", "warmup_steps")
    ]
    words = ["decompose", *world, *probes, *model, *FEW, f"paths.outputs={outputs}", "run=fresh", "trainer=paper"]
    assert main([*words, "stages.update.trainer.learning_rate=1e-6"]) == 0
    run = read_run(outputs / "decomposition" / "fresh")
    assert set(run.tables["changes"]["stage"]) == {"update"}
    assert run.tables["displacement"]["change"].isna().all()


def test_a_run_that_is_missing_is_an_error(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decompose", "decompose.run=nowhere", f"paths.outputs={outputs}"]) == 1
    assert "decompose.run: found no config.yaml in" in capsys.readouterr().err


def test_settings_beside_a_run_that_reach_nothing_are_refused(
    trained: Path, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"decompose.run={trained}", f"paths.outputs={outputs}", "trainer.optimizer=sgd", "seed=3"]
    assert main(["decompose", *words]) == 2
    said = capsys.readouterr().err
    assert "trainer.optimizer: reaches nothing, as decompose.run brings its own settings" in said
    assert "seed: reaches nothing" in said


def test_a_study_or_a_run_whose_data_changed_cannot_be_decomposed(
    trained: Path, studied: Path, outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decompose", f"decompose.run={studied}", f"paths.outputs={outputs}"]) != 0
    capsys.readouterr()
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(trained), str(copy)], check=True)
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest["hashes"]["data"] = "0"
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert main(["decompose", f"decompose.run={copy}", *FEW, f"paths.outputs={outputs}", "run=other"]) == 1
    assert "no longer gives the same data" in capsys.readouterr().err


def test_it_can_be_drawn_where_there_is_no_torch(studied: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"  # makes every import of torch raise ImportError
        f"from ldyn.cli.main import main\nsys.exit(main(['report', {str(studied)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
