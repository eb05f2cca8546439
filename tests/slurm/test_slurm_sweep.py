"""A sweep on a real SLURM (`make test-slurm`): jobs that are stopped by its signals end as if nothing had happened."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from ldyn.cli.main import main
from ldyn.store import read_run

pytestmark = pytest.mark.slurm

LDYN = [sys.executable, "-m", "ldyn"]
SWEEP = ["train", "-m", "+exp=smoke", "seed=1,2,3", "sft.max_steps=200", "preference.max_steps=10"]
SWEEP += ["trainer.checkpoint_every=20", "logger=none", "report=false", "probes.families=[chosen,rejected]"]
ON_SLURM = ["hydra/launcher=slurm_cpu", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]
PATIENCE = 1500  # seconds; a bound for a busy machine, not what it takes


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the sweep of uninterrupted runs, made without SLURM: plain/0, plain/1, plain/2."""
    if shutil.which("sbatch") is None or subprocess.run(["sinfo"], capture_output=True, check=False).returncode:
        pytest.skip("no SLURM answers here; `make test-slurm` starts one")
    directory = tmp_path_factory.mktemp("slurm")
    subprocess.run([*LDYN, *SWEEP, "hydra.sweep.dir=plain"], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    return directory


@pytest.fixture(scope="module")
def sweep(work: Path) -> Path:
    """The same sweep on SLURM: one job gets SIGUSR2, as before the end of its time, and one is pre-empted."""
    with (work / "slurm.log").open("w") as log:
        waiting = subprocess.Popen(
            [*LDYN, *SWEEP, *ON_SLURM, "hydra.sweep.dir=sweep"], cwd=work, stdout=log, stderr=log
        )
    directory = work / "sweep"
    first = halted_in_training(directory / "0.partial")
    halted_in_training(directory / "1.partial")
    [array] = {path.name.partition("_")[0] for path in (directory / ".submitit").glob("*_0")}
    subprocess.run(["scancel", "--signal=USR2", f"{array}_0"], check=False)
    os.kill(first, signal.SIGCONT)
    # SLURM's own SIGCONT wakes the other one, together with the SIGTERM of its pre-emption.
    subprocess.run(["sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"], check=True)
    code = waiting.wait(timeout=PATIENCE)
    assert code == 0, (work / "slurm.log").read_text()
    return directory


def halted_in_training(run: Path) -> int:
    """Wait for the run's first checkpoint and halt its process, so that what follows finds it in mid-stage; its id."""
    deadline = time.monotonic() + PATIENCE
    while not list(run.glob("checkpoints/sft/checkpoint-*/trainer_state.json")):
        assert time.monotonic() < deadline, f"{run} has no checkpoint"
        time.sleep(0.05)
    process = int((run / ".lock").read_text())
    os.kill(process, signal.SIGSTOP)
    assert not (run / "checkpoints" / "sft" / "final").exists()
    return process


def wait_for_empty_queue() -> None:
    """A job that has written its result may still be ending."""
    deadline = time.monotonic() + PATIENCE
    while subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout.strip():
        assert time.monotonic() < deadline, "jobs are still in SLURM's queue"
        time.sleep(0.2)


def log_of(sweep: Path, job: int) -> str:
    [path] = (sweep / ".submitit").glob(f"*_{job}/*_0_log.err")
    return path.read_text()


def test_both_jobs_were_stopped_and_started_again(sweep: Path) -> None:
    assert "Stopped by SIGUSR2. Job" in log_of(sweep, 0)
    assert "is back in SLURM's queue" in log_of(sweep, 0)
    assert "Stopped by SIGTERM. SLURM decides" in log_of(sweep, 1)
    assert all("DUE TO" in log_of(sweep, job) for job in (0, 1))  # slurmstepd's word on a job that it ends


@pytest.mark.parametrize("job", [0, 1, 2])
def test_every_trajectory_is_that_of_the_uninterrupted_run(sweep: Path, work: Path, job: int) -> None:
    on_slurm, plain = read_run(sweep / str(job)), read_run(work / "plain" / str(job))
    pd.testing.assert_frame_equal(on_slurm.trajectories, plain.trajectories, check_exact=True)
    pd.testing.assert_frame_equal(on_slurm.train_log, plain.train_log, check_exact=True)
    assert on_slurm.samples == plain.samples


def test_nothing_is_submitted_where_nothing_is_missing(
    sweep: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sweep.parent)
    submitted = list((sweep / ".submitit").iterdir())
    wait_for_empty_queue()
    assert main([*SWEEP, *ON_SLURM, "hydra.sweep.dir=sweep", "resume=auto"]) == 0
    assert "3 jobs: 3 finished" in capsys.readouterr().err
    assert list((sweep / ".submitit").iterdir()) == submitted


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra.launcher.partition=gold"], "partition specified: gold"),
        (["hydra.launcher.gpus_per_node=9"], "Requested node configuration is not available"),
        ([f"samples.examples={','.join(map(str, range(11)))}"], "SLURM refuses the jobs"),  # its arrays hold 31
    ],
)
def test_what_the_cluster_refuses_is_said_in_words(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SWEEP, *ON_SLURM, *words]) != 0
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
