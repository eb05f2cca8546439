"""What a reproduction has done, in ``reproduction.json``: read by the results page, and by who looks on meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldyn.errors import RunDirectoryError
from ldyn.jobs.reproduction.plan import Job
from ldyn.jobs.reproduction.settings import ReproduceConfig
from ldyn.run.manifest import describe_environment, now
from ldyn.store.directory import partial_path, plain
from ldyn.store.files import write_atomically

STATE_FILE = "reproduction.json"
WAITING, RUNNING, FINISHED, FAILED, HELD_UP, STOPPED = (
    "waiting",
    "running",
    "finished",
    "failed",
    "held up",
    "stopped",
)


@dataclass
class JobState:
    """status: one of the words above; seconds: wall time of all attempts; error: the last line of a failed log."""

    status: str = WAITING
    seconds: float = 0.0
    error: str = ""


@dataclass
class State:
    """The plan with what became of each job, rewritten at every change."""

    config: ReproduceConfig
    jobs: Sequence[Job]
    of_jobs: dict[str, JobState] = field(default_factory=dict)
    wall_seconds: float = 0.0

    @property
    def path(self) -> Path:
        """The file it is kept in."""
        return self.config.paths.run / STATE_FILE

    def write(self) -> None:
        """Put it on the disk."""
        jobs = [self._entry(job) for job in self.jobs]
        content = {
            **describe_environment(),
            "scale": self.config.scale.name,
            "seeds": list(self.config.all_seeds),
            "at_a_time": self.config.at_a_time,
            "written": now(),
            "wall_seconds": round(self.wall_seconds, 1),
            "parts": list(self.config.scale.parts),
            "jobs": jobs,
        }
        text = json.dumps(plain(content), indent=1, ensure_ascii=False)
        write_atomically(self.path, text.encode())

    def _entry(self, job: Job) -> Mapping[str, Any]:
        state = self.of_jobs[job.name]
        return {
            "name": job.name,
            "part": job.part,
            "arguments": job.arguments,
            "directory": job.directory.relative_to(self.config.paths.run),
            "makes": job.makes,
            "takes_over": job.takes_over,
            "expected_seconds": round(job.seconds, 1),
            "status": state.status,
            "seconds": round(state.seconds, 1),
            "error": state.error,
        }


def open_state(config: ReproduceConfig, jobs: Sequence[Job]) -> State:
    """The state of an earlier call, if there is one, brought up to what the run directories say.

    Raises RunDirectoryError where a directory holds a run of other settings.
    """
    path = config.paths.run / STATE_FILE
    before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    seconds = {entry["name"]: entry["seconds"] for entry in before.get("jobs", [])}
    state = State(config, jobs, wall_seconds=before.get("wall_seconds", 0.0))
    for job in jobs:
        status = FINISHED if is_finished(job) else WAITING
        state.of_jobs[job.name] = JobState(status, seconds.get(job.name, 0.0))
    return state


def is_finished(job: Job) -> bool:
    """Whether the job's run is there, finished, and made with the job's settings.

    Raises RunDirectoryError where a run of other settings, finished or not, has its place.
    """
    for directory in (job.directory, partial_path(job.directory)):
        if (directory / "manifest.json").exists():
            manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
            _check_same(job, directory, manifest)
            return directory == job.directory and manifest["status"] == "finished"
    return False


def _check_same(job: Job, directory: Path, manifest: Mapping[str, Any]) -> None:
    if job.settings is not None and manifest.get("hashes", {}).get("settings") != job.settings:
        raise RunDirectoryError(
            f"{directory} holds a run of other settings than the plan's {job.name}. Move it away, or choose another "
            "place with paths.outputs=<directory>; `ldyn reproduce --dry-run` shows the plan."
        )
