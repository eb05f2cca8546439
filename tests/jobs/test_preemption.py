"""A training run as a SLURM job: after which signal it is requeued, and when it is not. A stand-in plays scontrol."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ldyn.errors import Interrupted, LdynError
from ldyn.jobs import preemption
from ldyn.jobs.preemption import slurm_restarts
from ldyn.processes.signals import STOP_SIGNALS


@pytest.fixture
def scontrol(tmp_path, monkeypatch) -> Path:
    """Puts a `scontrol` on the PATH that writes down what it was asked; its exit code is in the file beside."""
    (tmp_path / "code").write_text("0")
    lines = [
        f'echo "$@" >> {tmp_path}/asked',
        "echo 'Requested operation is disabled' >&2",
        f"exit $(cat {tmp_path}/code)",
    ]
    script = "\n".join(["#!/bin/sh", *lines])
    (tmp_path / "scontrol").write_text(script)
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


@pytest.fixture(autouse=True)
def _job(monkeypatch):
    """In task 3 of the array job 12, with the signal handlers put back afterwards."""
    job = {"SLURM_JOB_ID": "15", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3", "ENVIRONMENT": "BATCH"}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(preemption, "SECONDS_FOR_SLURM", 0.1)
    before = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, signal.SIGCONT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_that_gets(number: int, run: Path, *, saves: bool = True) -> None:
    with slurm_restarts(run):
        if saves:
            (run.with_name("run.partial") / "checkpoints" / "sft" / "checkpoint-7").mkdir(parents=True)
        os.kill(os.getpid(), number)


def stopped_by(number: int, run: Path) -> Interrupted:
    with pytest.raises(Interrupted) as caught:
        run_that_gets(number, run)
    return caught.value


def asked(directory: Path) -> str:
    return (directory / "asked").read_text() if (directory / "asked").exists() else ""


def test_usr2_requeues_the_job(scontrol, tmp_path, capsys):
    assert stopped_by(signal.SIGUSR2, tmp_path / "run").exit_code == 140
    assert asked(scontrol) == "requeue 12_3\n"
    assert "Job 12_3 is back in SLURM's queue" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_other_signals_do_not_revive_what_someone_has_ended(scontrol, tmp_path, number):
    assert stopped_by(number, tmp_path / "run").signal_number == number
    assert asked(scontrol) == ""


def test_a_usr2_that_follows_a_sigterm_requeues(scontrol, tmp_path, monkeypatch):
    monkeypatch.setattr(preemption, "_say", lambda text: os.kill(os.getpid(), signal.SIGUSR2))
    stopped_by(signal.SIGTERM, tmp_path / "run")
    assert asked(scontrol) == "requeue 12_3\n"


@pytest.mark.usefixtures("scontrol")
def test_a_job_that_never_saves_is_requeued_a_few_times_only(scontrol, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_RESTART_COUNT", "5")
    with pytest.raises(LdynError, match="started 6 times and has saved nothing"):
        run_that_gets(signal.SIGUSR2, tmp_path / "run", saves=False)
    assert asked(scontrol) == ""
    stopped_by(signal.SIGUSR2, tmp_path / "run")  # one that does save is
    assert asked(scontrol) == "requeue 12_3\n"


def test_outside_of_a_batch_job_nothing_is_changed(scontrol, tmp_path, monkeypatch):
    monkeypatch.delenv("ENVIRONMENT")  # the shell of an salloc
    before = signal.getsignal(signal.SIGTERM)
    with slurm_restarts(tmp_path / "run"):
        assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(Interrupted), slurm_restarts(tmp_path / "run"):
        raise Interrupted(signal.SIGUSR2, "Stopped by SIGUSR2.")
    assert asked(scontrol) == ""
