"""Carries a plan out: so many runs side by side, each a process of its own, until all have ended or one says stop."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ldyn.jobs.reproduction.order import next_job
from ldyn.jobs.reproduction.plan import Job
from ldyn.jobs.reproduction.state import FAILED, FINISHED, HELD_UP, RUNNING, STOPPED, WAITING, State
from ldyn.processes.signals import StopRequest
from ldyn.store.directory import partial_path

LOG_DIR = "log"
POLL_SECONDS = 0.2

Tell = Callable[[Job], None]


class Crew:
    """Runs the jobs of ``state`` that wait; ``tell`` is called whenever a job's status has changed."""

    def __init__(self, state: State, tell: Tell):
        self._state, self._tell = state, tell
        self._running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
        self._by_name = {job.name: job for job in state.jobs}

    def work(self) -> None:
        """Until nothing is left. SIGINT and SIGTERM stop all runs, which save checkpoints, and raise Interrupted."""
        before, started = self._state.wall_seconds, time.monotonic()
        with StopRequest():
            try:
                while self._start_ready() or self._running:
                    time.sleep(POLL_SECONDS)
                    self._state.wall_seconds = before + time.monotonic() - started
                    self._collect()
            finally:
                self._stop_all()
        for job in self._with_status(WAITING):
            self._set(job, HELD_UP)

    def _with_status(self, status: str) -> list[Job]:
        return [job for job in self._state.jobs if self._state.of_jobs[job.name].status == status]

    def _start_ready(self) -> bool:
        """Start as many as there is room for; whether any was started."""
        count = 0
        while len(self._running) < self._state.config.at_a_time:
            ended = {job.name for job in self._with_status(FINISHED)}
            job = next_job(self._with_status(WAITING), ended)
            if job is None:
                break
            self._start(job)
            count += 1
        return bool(count)

    def _start(self, job: Job) -> None:
        log = self._log(job)
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(self._state.config.threads)}
        command = command_of(job)
        with log.open("ab") as stream:
            # A session of its own: Ctrl-C in a terminal reaches this process alone, which then stops them in order.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self._running[job.name] = process, time.monotonic()
        self._set(job, RUNNING)

    def _collect(self) -> None:
        for name, (process, started) in list(self._running.items()):
            if process.poll() is None:
                continue
            del self._running[name]
            job, state = self._by_name[name], self._state.of_jobs[name]
            state.seconds += time.monotonic() - started
            if process.returncode:
                state.error = f"exit code {process.returncode}: {_last_line(self._log(job))}"
            self._set(job, FAILED if process.returncode else FINISHED)

    def _stop_all(self) -> None:
        for process, _ in self._running.values():
            process.terminate()  # a first SIGTERM asks a run for a checkpoint; SIGINT is ignored in background jobs
        for name, (process, started) in list(self._running.items()):
            process.wait()
            self._state.of_jobs[name].seconds += time.monotonic() - started
            del self._running[name]
            self._set(self._by_name[name], FINISHED if process.returncode == 0 else STOPPED)

    def _set(self, job: Job, status: str) -> None:
        self._state.of_jobs[job.name].status = status
        self._state.write()
        self._tell(job)

    def _log(self, job: Job) -> Path:
        return self._state.config.paths.run / LOG_DIR / f"{job.name.replace('/', '-')}.log"


def command_of(job: Job) -> list[str]:
    """The words that start the job, or go on with its run."""
    return [sys.executable, "-m", "ldyn", *_arguments(job)]


def _arguments(job: Job) -> tuple[str, ...]:
    """Those of the job, or to go on with its run; what is left of a study or an import is made anew."""
    partial = partial_path(job.directory)
    if not partial.exists():
        return job.arguments
    if job.arguments[0] == "train" and (partial / "config.yaml").exists():
        return ("train", f"resume={partial}")
    shutil.rmtree(partial)
    return job.arguments


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it printed nothing"
