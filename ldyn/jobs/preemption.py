"""A training run as a SLURM job: what becomes of the job once a signal has stopped the run with a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ldyn.errors import Interrupted, LdynError
from ldyn.processes.signals import StopRequest
from ldyn.store.directory import partial_path

SECONDS_FOR_SLURM = 3600
"""How long a stopped job waits to be killed. It may not end by itself: then it would count as done, not as pre-empted.

SLURM kills what it pre-empts at the end of the partition's GraceTime, and what a user cancels after KillWait.
"""
RESTARTS_WITHOUT_PROGRESS = 5
"""A job that saved nothing is requeued no more after so many restarts: its time is too short for what comes first."""


@contextmanager
def slurm_restarts(run: Path) -> Iterator[None]:
    """Around a training run in a SLURM batch job (nothing else is changed); ``run``: the final name of its directory.

    After SIGUSR2 the job is requeued: SLURM starts it again, and the run resumes from its checkpoint. After SIGTERM it
    waits for SLURM, which requeues what it pre-empts and ends what a user has cancelled.
    """
    # In the shell of an salloc, which is no batch job, a person waits for the prompt.
    if "SLURM_JOB_ID" not in os.environ or os.environ.get("ENVIRONMENT") != "BATCH":
        yield
        return
    saved_before = _saved(run)
    try:
        with StopRequest():
            yield
    except Interrupted as error:
        if error.signal_number == signal.SIGINT:
            raise
        wants_requeue = _ignoring_signals()
        if error.signal_number == signal.SIGTERM:
            _say(f"{error} SLURM decides whether job {_job_id()} is over or starts again.")
            _wait(lambda: bool(wants_requeue))
        if error.signal_number == signal.SIGUSR2 or wants_requeue:
            _requeue(error, has_progress=_saved(run) != saved_before)
        raise


def _requeue(error: Interrupted, *, has_progress: bool) -> None:
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    if not has_progress and restarts >= RESTARTS_WITHOUT_PROGRESS:
        raise LdynError(
            f"Job {_job_id()} was started {restarts + 1} times and has saved nothing in its last life; it is not "
            "requeued again. If its time ran out, give it more: hydra.launcher.timeout_min=..."
        ) from error
    try:
        subprocess.run(["scontrol", "requeue", _job_id()], check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as refusal:
        cause = " ".join((getattr(refusal, "stderr", "") or str(refusal)).split())
        raise LdynError(
            f"SLURM does not requeue job {_job_id()}: {cause}. Submit jobs with --requeue, as ldyn's own "
            "hydra/launcher files do (additional_parameters: {requeue: true})."
        ) from refusal
    _say(f"{error} Job {_job_id()} is back in SLURM's queue and resumes from there.")
    _wait()


def _job_id() -> str:
    """As SLURM's commands take it: 12, or 12_3 for a task of an array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def _saved(run: Path) -> set[Path]:
    return set((partial_path(run) / "checkpoints").glob("*/*"))


def _ignoring_signals() -> list[int]:
    """From now on no signal of SLURM's ends this process but SIGKILL; returns the list of SIGUSR2s that come."""
    received: list[int] = []
    for number in (signal.SIGTERM, signal.SIGCONT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, lambda number, _: received.append(number))
    return received


def _wait(is_over: Callable[[], bool] = lambda: False) -> None:
    """Wait to be killed; but no longer than until ``is_over``."""
    deadline = time.monotonic() + SECONDS_FOR_SLURM
    while not is_over() and time.monotonic() < deadline:
        time.sleep(1)


def _say(text: str) -> None:
    print(f"ldyn: {text}", file=sys.stderr, flush=True)
