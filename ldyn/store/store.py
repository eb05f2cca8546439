"""The store of a running experiment: one Parquet part for each probe step, one log file for each stage.

Layout, inside the run directory (see ``ldyn.store.parts``)::

    parts/00-sft/00000040.parquet        the scores of one probe step
    parts/00-sft/log.jsonl               one JSON object for each row logged

The order of the table is: stages as they began, then steps, then rows as they were appended, whatever was resumed.
Parts are written atomically, so the directory can be read at any time. ``trajectories.parquet`` and
``train_log.parquet`` are merged from the parts; a change to the parts removes them, so they are never out of date.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ldyn.records import ProbeScore, ProbeStep
from ldyn.store.directory import PARTS_DIR, TRAIN_LOG_FILE, TRAJECTORIES_FILE
from ldyn.store.files import append_durably, explained, write_atomically
from ldyn.store.parts import Parts, part_files, stage_of
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
LOG_METRICS = ("loss", "grad_norm", "learning_rate", "margin", "reward_chosen", "reward_rejected", "accuracy")


class TrajectoryStore:
    """Everything measured by a run so far. Opening it on the directory of a killed run continues where that
    run stopped.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self._scores = Parts(directory / PARTS_DIR)

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
        write_atomically(self._scores.path(probe_step.stage, probe_step.step), content)

    def append_log(self, stage: str, rows: Sequence[Mapping[str, float]]) -> None:
        """Store rows of the training log, each with its ``step`` and any metrics."""
        if not rows:
            return
        self._drop_merged()
        path = self._scores.stage_directory(stage) / LOG_FILE
        if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
            write_atomically(path, content[: content.rfind(b"\n") + 1])  # without a line torn by a crash
        append_durably(path, _lines(rows))

    def steps(self, stage: str) -> list[int]:
        """The steps of ``stage`` at which probes were scored, ascending; empty for a stage that has none."""
        return self._scores.steps(stage)

    def scored(self, stage: str) -> list[tuple[ProbeStep, list[ProbeScore]]]:
        """What was scored at each probe_step of ``stage``, by ascending step; a score without numbers has NaN."""
        return [scores_of_table(read_trajectory_file(self._scores.path(stage, step))) for step in self.steps(stage)]

    def log(self, stage: str) -> list[dict[str, Any]]:
        """The rows of the training log of ``stage``, in the order logged."""
        return read_log(self._scores.stage_directory(stage) / LOG_FILE)

    def discard_after(self, stage: str, step: int) -> None:
        """Go back to ``step`` of ``stage``: drop its later parts and log rows, and all of the stages begun after it.

        ``step`` -1 drops the whole stage. A stage that has nothing stored is left as it is. Safe to repeat when killed.
        """
        self._drop_merged()
        self._scores.discard_after(stage, step)
        log = self._scores.stage_directory(stage) / LOG_FILE
        if log.exists():
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


def merged_trajectories(directory: Path) -> pa.Table:
    """All parts of a run in the canonical order; a table without rows where there are none."""
    stages = Parts(directory / PARTS_DIR).stage_directories()
    tables = [read_trajectory_file(part) for stage in stages for part in part_files(stage)]
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def merged_log(directory: Path) -> pa.Table:
    """All rows logged, by stage and in the order logged; the usual metrics first, then the others by name."""
    stages = Parts(directory / PARTS_DIR).stage_directories()
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
