"""A run in two processes: stopped, then short of one process, then finished, and the same as the run of one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ldyn.cli.main import main
from ldyn.processes.launcher import usable_cores
from ldyn.run.run import run
from ldyn.store import read_run

KILL_AT = Path(__file__).with_name("kill_at.py")
SETTINGS = (
    "sft.max_steps=4",
    "preference.max_steps=5",
    "trainer.checkpoint_every=2",
    "probes.schedule.every=1",
    "dataset.pairs=30",
)
KEYS = ["stage", "algorithm", "step", "examples_seen", "epoch", "split", "example_id", "probe", "n_tokens"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(usable_cores() < 2, reason="two processes need two cores")]


def status(directory: Path) -> tuple[str, str]:
    manifest = json.loads((directory / "manifest.json").read_text())
    return manifest["status"], manifest.get("error", "")


def started(line: list[str], **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **environment}
    return subprocess.run(line, env=environment, check=False, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def partial(outputs) -> Path:
    return outputs / "smoke" / "together.partial"


@pytest.fixture(scope="module")
def stopped(words):
    """Two processes, of which the one that started them is told to end."""
    line = [sys.executable, str(KILL_AT), *words("together", *SETTINGS, "trainer.num_processes=2")]
    return started(line, KILL_AT=f"scored sft 1 {int(signal.SIGTERM)} 0 parent")


@pytest.fixture(scope="module")
def one_lost(stopped, partial):
    """The same run goes on, and its second process is killed."""
    line = [sys.executable, str(KILL_AT), "train", f"resume={partial}"]
    return started(line, KILL_AT=f"scored dpo 3 {int(signal.SIGKILL)} 1")


@pytest.fixture(scope="module")
def finished(one_lost, partial):
    """The same run goes on once more, started by accelerate, and ends."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    done = started([*launcher, "-m", "ldyn", "train", f"resume={partial}"])
    assert done.returncode == 0, done.stderr
    return done


def test_a_sweep_under_a_launcher_is_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "-m", "+exp=smoke", "seed=1,2", "logger=none"]) == 2
    assert "found a sweep under a launcher" in capsys.readouterr().err


def test_sigterm_saves_one_checkpoint_and_says_how_to_go_on(stopped, partial):
    """Asked before the run goes on: fixtures of a module are made in the order of its tests."""
    assert stopped.returncode == 128 + signal.SIGTERM, stopped.stderr
    assert stopped.stderr.count(f"resume={partial}") == 1
    assert "Stopped by SIGTERM." in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert status(partial) == ("interrupted", "Interrupted: Stopped by SIGTERM.")
    [checkpoint] = (partial / "checkpoints" / "sft").glob("checkpoint-*")
    assert {"trainer_state.json", "optimizer.pt", "rng_state_0.pth", "rng_state_1.pth"} <= {
        file.name for file in checkpoint.iterdir()
    }


def test_a_lost_process_ends_the_run_and_nothing_measured_is_lost(one_lost, partial):
    assert one_lost.returncode == 1, one_lost.stderr
    assert "Process 1 of 2 was killed by SIGKILL" in one_lost.stderr
    assert one_lost.stderr.count(f"resume={partial}") == 1
    assert "Traceback" not in one_lost.stderr
    assert status(partial)[0] == "failed"
    so_far = read_run(partial).trajectories
    assert so_far[so_far["stage"] == "dpo"]["step"].max() == 3


def test_two_processes_measure_what_one_does(finished, outputs, smoke):
    """30 pairs in batches of 8: what is left over in an epoch is 6, three rows for each process."""
    alone, together = read_run(run(smoke("by_one", *SETTINGS))), read_run(outputs / "smoke" / "together")
    pd.testing.assert_frame_equal(alone.trajectories[KEYS], together.trajectories[KEYS])
    for one, two in ((alone.trajectories, together.trajectories), (alone.train_log, together.train_log)):
        numbers = [name for name in one.select_dtypes("number") if name != "accuracy"]  # of margins near 0 at first
        pd.testing.assert_frame_equal(one[numbers], two[numbers], rtol=1e-4, atol=1e-4)
    assert [(one.id, one.verdict) for one in alone.findings] == [(one.id, one.verdict) for one in together.findings]
    assert together.manifest["processes"]["number"] == 2
    assert together.samples == alone.samples
    assert finished.stdout.count("Report: ") == 1  # one process speaks
