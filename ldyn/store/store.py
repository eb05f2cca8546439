"""The store of a running experiment: one Parquet part for each probe step, one log file for each stage.

Layout, inside the run directory; the number before a stage's name is its place in the order in which stages began::

    parts/00-sft/00000040.parquet        the scores of one probe step
    parts/00-sft/log.jsonl               one JSON object for each row logged
    parts/01-dpo/...

The order of the table is: stages as they began, then steps, then rows as they were appended, whatever was resumed.
Parts are written atomically, so the directory can be read at any time. ``trajectories.parquet`` and
``train_log.parquet`` are merged from the parts; a change to the parts removes them, so they are never out of date.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ldyn.errors import RunDirectoryError
from ldyn.records import ProbeScore, ProbeStep
from ldyn.store.directory import PARTS_DIR, TRAIN_LOG_FILE, TRAJECTORIES_FILE
from ldyn.store.files import append_durably, explained, write_atomically
from ldyn.store.schema import (
    SCHEMA,
    flagged_note,
    read_trajectory_file,
    scores_of_table,
    table_of_log,
    table_of_scores,
    to_bytes,
)

LOG_FILE = "log.jsonl"
_STAGE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
LOG_METRICS = ("loss", "grad_norm", "learning_rate", "margin", "reward_chosen", "reward_rejected", "accuracy")


class TrajectoryStore:
    """Everything measured by a run so far. Opening it on the directory of a killed run continues where that
    run stopped.
    """

    def __init__(self, directory: Path):
        self.directory = directory

    def _stage_directory(self, stage: str) -> Path:
        """The directory of the parts of ``stage``; the next in order, not made yet, if it has none."""
        if not _STAGE_NAME.fullmatch(stage):
            allowed = "it may have letters, digits, '_', '-' and '.'"
            raise RunDirectoryError(f"The stage name {stage!r} cannot name a directory. Rename it; {allowed}.")
        directories = stage_directories(self.directory)
        known = next((directory for directory in directories if stage_of(directory) == stage), None)
        return known or self.directory / PARTS_DIR / f"{len(directories):02d}-{stage}"

    def _part(self, stage: str, step: int) -> Path:
        return self._stage_directory(stage) / f"{step:08d}.parquet"

    def append(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        """Store what was measured at one probe step, atomically; the same probe step scored again replaces the first.

        A score that is not finite becomes a row with empty numbers, and a warning names it. Raises RunDirectoryError
        for a doubled score or a disk without room.
        """
        content = to_bytes(table_of_scores(probe_step, scores))
        note = flagged_note(probe_step, scores)
        if note:
            warnings.warn(note, stacklevel=2)
        self._drop_merged()
        write_atomically(self._part(probe_step.stage, probe_step.step), content)

    def append_log(self, stage: str, rows: Sequence[Mapping[str, float]]) -> None:
        """Store rows of the training log, each with its ``step`` and any metrics."""
        if not rows:
            return
        self._drop_merged()
        path = self._stage_directory(stage) / LOG_FILE
        if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
            write_atomically(path, content[: content.rfind(b"\n") + 1])  # without a line torn by a crash
        append_durably(path, _lines(rows))

    def steps(self, stage: str) -> list[int]:
        """The steps of ``stage`` at which probes were scored, ascending; empty for a stage that has none."""
        return [int(part.stem) for part in part_files(self._stage_directory(stage))]

    def scored(self, stage: str) -> list[tuple[ProbeStep, list[ProbeScore]]]:
        """What was scored at each probe_step of ``stage``, by ascending step; a score without numbers has NaN."""
        return [scores_of_table(read_trajectory_file(self._part(stage, step))) for step in self.steps(stage)]

    def log(self, stage: str) -> list[dict[str, Any]]:
        """The rows of the training log of ``stage``, in the order logged."""
        return read_log(self._stage_directory(stage) / LOG_FILE)

    def discard_after(self, stage: str, step: int) -> None:
        """Go back to ``step`` of ``stage``: drop its later parts and log rows, and all of the stages begun after it.

        ``step`` -1 drops the whole stage. A stage that has nothing stored is left as it is. Safe to repeat when killed.
        """
        self._drop_merged()
        own = self._stage_directory(stage)
        if not own.exists():
            return
        directories = stage_directories(self.directory)
        with explained(own):
            for directory in reversed(directories[directories.index(own) + 1 :]):
                shutil.rmtree(directory)
            if step < 0:
                shutil.rmtree(own)
                return
            for part in reversed(part_files(own)):
                if int(part.stem) > step:
                    part.unlink()
        if (log := own / LOG_FILE).exists():
            write_atomically(log, _lines([row for row in read_log(log) if row["step"] <= step]))

    def publish(self) -> None:
        """Merge the parts into ``trajectories.parquet`` and ``train_log.parquet``.

        The parts stay until the directory itself is published: a run killed before may have to go back to an earlier
        step.
        """
        write_atomically(self.directory / TRAIN_LOG_FILE, to_bytes(merged_log(self.directory)))
        write_atomically(self.directory / TRAJECTORIES_FILE, to_bytes(merged_trajectories(self.directory)))

    def _drop_merged(self) -> None:
        """And the findings, which were computed from them."""
        for name in (TRAJECTORIES_FILE, TRAIN_LOG_FILE, "findings.json"):
            with explained(self.directory / name):
                (self.directory / name).unlink(missing_ok=True)


def stage_directories(directory: Path) -> list[Path]:
    """The directories of the parts of a run's stages, in the order in which these began."""
    return sorted((directory / PARTS_DIR).glob("[0-9]*-*"), key=lambda entry: int(entry.name.split("-", 1)[0]))


def stage_of(directory: Path) -> str:
    """The name of the stage whose parts are in ``directory``."""
    return directory.name.split("-", 1)[1]


def part_files(stage_directory: Path) -> list[Path]:
    """The parts of one stage by ascending step; what an interrupted write left is not among them."""
    return sorted(stage_directory.glob("[0-9]*.parquet"), key=lambda entry: int(entry.stem))


def merged_trajectories(directory: Path) -> pa.Table:
    """All parts of a run in the canonical order; a table without rows where there are none."""
    stages = stage_directories(directory)
    tables = [read_trajectory_file(part) for stage in stages for part in part_files(stage)]
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def merged_log(directory: Path) -> pa.Table:
    """All rows logged, by stage and in the order logged; the usual metrics first, then the others by name."""
    stages = stage_directories(directory)
    rows = [{"stage": stage_of(stage), **row} for stage in stages for row in read_log(stage / LOG_FILE)]
    logged = {name for row in rows for name in row} - {"stage", "step"}
    metrics = [name for name in LOG_METRICS if name in logged] + sorted(logged - set(LOG_METRICS))
    return table_of_log(rows, metrics)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of one stage's log; a last line torn by a crash is ignored."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def _lines(rows: Sequence[Mapping[str, float]]) -> bytes:
    # Python writes the shortest text that gives the same float64 back, so going through text loses nothing.
    numbers = [{name: float(value) for name, value in row.items()} | {"step": int(row["step"])} for row in rows]
    return "".join(json.dumps(row) + "\n" for row in numbers).encode()
