"""Reading a reproduction's directory: its plan with what became of each run (``reproduction.json``), and the runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ldyn.errors import RunDirectoryError
from ldyn.findings.over_seeds import findings_over_seeds
from ldyn.records import FindingOverSeeds
from ldyn.store import Run, read_run

STATE_FILE = "reproduction.json"
LOGS = "logs"
FINISHED = "finished"


@dataclass(frozen=True)
class Reproduction:
    """``state`` is the content of ``reproduction.json``; runs are read when they are asked for."""

    directory: Path
    state: Mapping[str, Any]

    @property
    def jobs(self) -> Sequence[Mapping[str, Any]]:
        """Every run of the plan."""
        return self.state["jobs"]  # type: ignore[no-any-return]

    @property
    def unfinished(self) -> Sequence[Mapping[str, Any]]:
        """The runs that are not finished."""
        return [job for job in self.jobs if job["status"] != FINISHED]

    @cached_property
    def runs(self) -> Mapping[str, Sequence[Run]]:
        """Part -> its finished runs, by seed; imported logs are not among them."""
        return {part: [read_run(path) for path in self.directories(part)] for part in self.state["parts"]}

    @cached_property
    def logs(self) -> Mapping[str, Run]:
        """Name -> the run that was made of others' logs."""
        return {path.name: read_run(path) for path in self.directories(LOGS)}

    @cached_property
    def findings(self) -> Sequence[FindingOverSeeds]:
        """Every claim over seeds, all of them in one correction; of several parts the first speaks."""
        return findings_over_seeds({part: runs for part, runs in self.runs.items() if runs})

    def directories(self, part: str) -> list[Path]:
        """The directories of the finished runs of a part."""
        jobs = [job for job in self.jobs if job["part"] == part and job["status"] == FINISHED]
        return [self.directory / job["directory"] for job in jobs]

    def command(self, part: str) -> str:
        """The command of the part's first run, without what only says where things go."""
        job = next(job for job in self.jobs if job["part"] == part)
        words = [word for word in job["arguments"] if not word.startswith(("paths.", "run="))]
        return " ".join(["ldyn", *words])


def read_reproduction(directory: Path) -> Reproduction:
    """Raises RunDirectoryError where ``directory`` holds none."""
    path = directory / STATE_FILE
    try:
        return Reproduction(directory, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{path} cannot be read ({error}). Make it with `ldyn reproduce`.") from error


def is_reproduction(directory: Path) -> bool:
    """Whether ``directory`` is one that `ldyn reproduce` has made."""
    return (directory / STATE_FILE).is_file()
