"""Read a run directory, finished or not, into one record of tables. Needs neither torch nor the trainer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pydantic import TypeAdapter

from ldyn.errors import RunDirectoryError
from ldyn.records import Finding, StageInfo
from ldyn.store.directory import PARTS_DIR, TRAIN_LOG_FILE, TRAJECTORIES_FILE, final_path, partial_path
from ldyn.store.files import PARTIAL_SUFFIX
from ldyn.store.schema import damage_named, read_table, read_trajectory_file
from ldyn.store.store import merged_log, merged_trajectories

MANIFEST_VERSION = 1
_ATTEMPTS = 5


@dataclass(frozen=True)
class Run:
    """All of a run directory. ``trajectories`` has the columns of records.TRAJECTORY_COLUMNS, in canonical order.

    ``train_log``: stage, step, then one column for each metric, NaN where it was not logged.
    ``tables``: every other Parquet file at the top of the directory, by its name without the suffix.
    ``findings`` and ``samples`` are empty where the run has not come so far (``has_findings``). Numbers that JSON lacks
    are NaN.
    """

    path: Path
    manifest: Mapping[str, Any]
    config_text: str
    stages: tuple[StageInfo, ...]
    trajectories: pd.DataFrame
    train_log: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    findings: list[Finding]
    samples: list[dict[str, Any]]
    has_findings: bool = True

    @property
    def is_partial(self) -> bool:
        """Whether the run is still being written or was interrupted."""
        return self.path.name.endswith(PARTIAL_SUFFIX)

    @property
    def is_study(self) -> bool:
        """Whether it is a study (``ldyn.run.studies``): tables of its own, and neither stages nor trajectories."""
        return not self.stages

    @property
    def planned_steps(self) -> dict[str, int]:
        """Stage -> number of updates it was meant to make, where the manifest has it."""
        return {entry["name"]: entry["steps"] for entry in self.manifest["stages"] if entry.get("steps") is not None}


def read_run(path: Path) -> Run:
    """Read the run at ``path``: a finished directory, an unfinished one (with or without ``.partial``), or ``latest``.

    A run that is being written may change while it is read; it is then read again. Raises RunDirectoryError naming the
    file that is missing or broken, and the next step.
    """
    for _ in range(_ATTEMPTS):
        directory = find_run(path)
        before = _state(directory)
        with suppress(RunDirectoryError):
            run = _read(directory)
            if _state(directory) == before:
                return run
    return _read(find_run(path))


def _state(directory: Path) -> list[tuple[int, int] | None]:
    """It differs when a file of the run was replaced or the directory renamed."""
    paths = [directory / name for name in ("manifest.json", "findings.json", TRAJECTORIES_FILE, TRAIN_LOG_FILE)]
    found = [path.stat() if path.exists() else None for path in paths]
    return [(status.st_ino, status.st_mtime_ns) if status else None for status in found]


def _read(directory: Path) -> Run:
    path = directory / "manifest.json"
    manifest: dict[str, Any] = _read_json(path)
    found = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if found != MANIFEST_VERSION:
        advice = "Read the run with the version of ldyn that wrote it"
        raise RunDirectoryError(f"{path} has version {found}, expected {MANIFEST_VERSION}. {advice}.")
    with damage_named(path):
        stages = TypeAdapter(tuple[StageInfo, ...]).validate_python(manifest["stages"])
    others = [path for path in directory.glob("*.parquet") if path.name not in (TRAJECTORIES_FILE, TRAIN_LOG_FILE)]
    return Run(
        path=directory,
        manifest=manifest,
        config_text=_read_text(directory / "config.yaml"),
        stages=stages,
        trajectories=_trajectories(directory, manifest),
        train_log=_train_log(directory),
        tables={path.stem: _read_frame(path) for path in sorted(others)},
        findings=_read_findings(directory / "findings.json"),
        samples=_read_samples(directory / "samples.jsonl"),
        has_findings=(directory / "findings.json").exists(),
    )


def find_run(path: Path) -> Path:
    """The run directory that ``path`` means; raises RunDirectoryError where there is none."""
    for named in (path, path.resolve()):  # `latest` is a link, and to a run that is not renamed yet if it was killed
        for candidate in (named, partial_path(named), final_path(named)):
            if (candidate / "manifest.json").is_file():
                return candidate.resolve()
    if not path.exists():
        raise RunDirectoryError(
            f"There is no run directory {path}. Give the path of one, e.g. outputs/dpo_squeeze/latest."
        )
    runs = sorted(entry.parent for entry in path.glob("*/manifest.json"))
    inside = f"It holds runs: {', '.join(run.name for run in runs[-5:])}; give one of them." if runs else ""
    raise RunDirectoryError(f"{path} is not a run directory: it has no manifest.json. {inside}".rstrip())


def _trajectories(directory: Path, manifest: Mapping[str, Any]) -> pd.DataFrame:
    path = directory / TRAJECTORIES_FILE
    if path.exists():
        table = read_trajectory_file(path)
    elif manifest["stages"] and not directory.name.endswith(PARTIAL_SUFFIX):
        raise RunDirectoryError(f"The finished run {directory} has no {TRAJECTORIES_FILE}. Copy the directory again.")
    else:
        path = directory / PARTS_DIR
        with damage_named(path):
            table = merged_trajectories(directory)
    return frame_of(table)


def _train_log(directory: Path) -> pd.DataFrame:
    path = directory / TRAIN_LOG_FILE
    if path.exists():
        return _read_frame(path)
    with damage_named(directory / PARTS_DIR):
        return frame_of(merged_log(directory))


def _read_frame(path: Path) -> pd.DataFrame:
    with damage_named(path):
        return frame_of(read_table(path))


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Plain text columns: categories would follow every filter and grouping around."""
    fields = [pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in table.schema]
    return table.cast(pa.schema(fields)).to_pandas()  # type: ignore[no-any-return]


def _read_findings(path: Path) -> list[Finding]:
    with damage_named(path):
        return findings_of(_read_json(path) if path.exists() else [])


def findings_of(rows: Any) -> list[Finding]:
    """The findings of the rows of findings.json, where null stands for a number that JSON lacks."""
    numbers = dict.fromkeys(("estimate", "ci_low", "ci_high"), math.nan)
    entries = TypeAdapter(list[dict[str, Any]]).validate_python(rows)
    return TypeAdapter(list[Finding]).validate_python([numbers | _without_null(row) for row in entries])


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return [_without_null(inner) for inner in value] if isinstance(value, list) else value


def _read_samples(path: Path) -> list[dict[str, Any]]:
    lines = [line for line in _read_text(path).split("\n") if line.strip()]
    with damage_named(path):
        return TypeAdapter(list[dict[str, Any]]).validate_python([json.loads(line) for line in lines])


def _read_text(path: Path) -> str:
    with damage_named(path):
        return path.read_text(encoding="utf-8") if path.exists() else ""


def _read_json(path: Path) -> Any:
    with damage_named(path):
        return json.loads(path.read_text(encoding="utf-8"))
