"""A real run through the command line, in seconds: a sweep of two seeds, and what can be done with its directories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from wandb_files import recorded_run

import ldyn
from ldyn.cli.main import main
from ldyn.store import read_run

LDYN = Path(sys.executable).with_name("ldyn")
MODULE = Path(ldyn.__file__).with_name("__main__.py")
FILES = {
    "checkpoints", "config.yaml", "findings.json", "manifest.json", "samples.jsonl", "train_log.parquet",
    "trajectories.parquet", "wandb.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, forked: Callable[..., subprocess.CompletedProcess[str]]) -> Path:
    """The directory in which `ldyn train -m +exp=smoke seed=1,2` has run, and the tracker recorded offline."""
    directory = tmp_path_factory.mktemp("work")
    command = [MODULE, "train", "-m", "+exp=smoke", "seed=1,2", "algorithm.beta=0.2", "hydra.sweep.dir=sweep"]
    command += ["report=false", "probes.families=[chosen,rejected,irr_train]"]  # the others take longer
    free_of_wandb = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    done = forked(command, cwd=directory, env=free_of_wandb)
    (directory / "stdout.txt").write_text(done.stdout, encoding="utf-8")
    (directory / "stderr.txt").write_text(done.stderr, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """An environment in which `import torch` fails."""
    (tmp_path / "torch.py").write_text("raise ImportError('there is no torch here')\n", encoding="utf-8")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_each_job_has_its_run_directory_and_nothing_lies_elsewhere(work: Path) -> None:
    left = {"0", "1", "latest", "multirun.yaml", "stages", "sweep.json", "wandb"}
    assert {path.name for path in (work / "sweep").iterdir()} == left
    for job in ("0", "1"):
        assert {path.name for path in (work / "sweep" / job).iterdir()} == FILES
    assert {path.name for path in work.iterdir()} == {"outputs", "sweep", "stdout.txt", "stderr.txt"}
    assert {path.name for path in (work / "outputs").iterdir()} == {"cache"}


def test_the_seed_reaches_the_data_and_the_result(work: Path) -> None:
    first, second = (json.loads((work / "sweep" / job / "manifest.json").read_text("utf-8")) for job in ("0", "1"))
    assert (first["seed"], second["seed"]) == (1, 2)
    assert first["hashes"]["data"] != second["hashes"]["data"]
    assert first["hashes"]["base_model"] != second["hashes"]["base_model"]


def test_the_tracker_has_the_jobs_in_one_group_each_called_by_what_differs(work: Path) -> None:
    names = []
    for job in ("0", "1"):
        about = json.loads((work / "sweep" / job / "wandb.json").read_text("utf-8"))
        run = recorded_run(work / "sweep" / job / about["files"])
        names.append((run.about.run_group, run.about.job_type, run.about.display_name))
        assert (run.config["seed"], run.config["manifest"]["status"]) == (int(job) + 1, "finished")
        assert "findings and report" in run.config["manifest"]["seconds"]
    assert names == [("sweep", "smoke", "seed=1"), ("sweep", "smoke", "seed=2")]


def test_the_tracker_has_every_moment_of_every_stage(work: Path) -> None:
    directory = work / "sweep" / "0"
    run = recorded_run(directory / json.loads((directory / "wandb.json").read_text("utf-8"))["files"])
    stored = read_run(directory).trajectories
    means = stored[stored["split"] == "train"].groupby(["stage", "probe", "step"], observed=True)["logp"].mean()
    for (stage, probe), curve in means.groupby(["stage", "probe"], observed=True):
        shown = run.series(f"{stage}/logp/{probe}", f"{stage}/step")
        assert shown == pytest.approx({step: value for (_, _, step), value in curve.items()})
    assert run.summary["finding/D1/verdict"] == "this run"


def test_results_go_to_standard_output_and_progress_to_standard_error(work: Path) -> None:
    out, err = ((work / name).read_text(encoding="utf-8") for name in ("stdout.txt", "stderr.txt"))
    for job in ("0", "1"):
        assert f"Report: not written; run `ldyn report {work}/sweep/{job}`" in out
    assert "Findings" in out
    assert "loading libraries and data" in err
    assert "base: pretraining" in err
    assert "sft: sft on chosen, from base, 4 steps" in err
    assert "dpo 4/4" in err


def test_a_sweep_goes_on_with_what_is_missing_and_tells_what_fails(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs have finished; of two more one fails, the other is run all the same."""
    shutil.copytree(work / "sweep", work / "more", symlinks=True)
    monkeypatch.chdir(work)
    sweep = ["train", "-m", "+exp=smoke", "logger=none", "report=false", "algorithm.beta=0.2", "hydra.sweep.dir=more"]
    sweep.append("probes.families=[chosen,rejected,irr_train]")
    assert main([*sweep, "seed=2,1", "resume=auto"]) == 0
    assert "2 jobs: 2 finished" in capsys.readouterr().err
    diverging = "stages.dpo.trainer.learning_rate=1e30,2e-5"
    assert main([*sweep, "seed=1", diverging, "resume=auto"]) == 1
    told = capsys.readouterr().err
    assert "2 jobs: 1 new, 1 finished" in told  # 2e-5 is the default, so that run is there
    assert "- job 2 (stages.dpo.trainer.learning_rate=1e+30) failed: TrainingError: In the batch after step" in told
    fixed = "+exp=smoke logger=none report=false algorithm.beta=0.2 'probes.families=[chosen,rejected,irr_train]'"
    assert f"Continue with: ldyn train -m {fixed} seed=1 ++{diverging} resume=auto" in told
    assert not (work / "more" / "3").exists()


def test_verify_and_report_work_without_torch(work: Path, without_torch: dict[str, str]) -> None:
    runs = [str(work / "sweep" / job) for job in ("0", "1")]
    done = subprocess.run(
        [str(LDYN), "verify", "--json", *runs], env=without_torch, capture_output=True, text=True, check=True
    )
    verified = json.loads(done.stdout)
    assert verified["agrees"] is True
    assert [run["stored"] for run in verified["runs"]] == ["same", "same"]
    done = subprocess.run([str(LDYN), "report", runs[0]], env=without_torch, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(work / "sweep" / "0" / "report.html")
    assert (work / "sweep" / "0" / "report.html").stat().st_size > 10_000


def test_a_finished_run_is_neither_resumed_nor_overwritten(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = work / "sweep" / "0"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert main(["train", f"resume={run}"]) == 1
    assert "is finished: there is nothing to resume" in capsys.readouterr().err
    assert main(["train", "+exp=smoke", f"paths.run={run}"]) == 1
    assert "holds a finished run" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
