"""Reading a run directory, finished or not, into one record of tables. Needs neither torch nor the trainer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from ldyn.errors import RunDirectoryError
from ldyn.records import FINDING_FIELDS, Finding, StageInfo
from ldyn.store.directory import PARTIAL_SUFFIX, final_path, partial_path
from ldyn.store.layout import TRAIN_LOG_FILE, TRAJECTORIES_FILE
from ldyn.store.schema import read_table, read_trajectory_file
from ldyn.store.store import merged_log, merged_trajectories

MANIFEST_VERSION = 1


@dataclass(frozen=True)
class Run:
    """All of a run directory. ``trajectories`` has the columns of records.TRAJECTORY_COLUMNS, in canonical order.

    ``train_log``: stage, step, then one column for each metric, NaN where it was not logged.
    ``tables``: every other Parquet file at the top of the directory, by its name without the suffix.
    ``findings`` and ``samples`` are empty where the run has not come so far; numbers that JSON lacks are NaN.
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
        """Stage -> number of updates it was meant to make, where the manifest says so."""
        return {entry["name"]: entry["steps"] for entry in self.manifest["stages"] if entry.get("steps") is not None}


def read_run(path: Path) -> Run:
    """Read the run at ``path``: a finished directory, an unfinished one (with or without ``.partial``), or ``latest``.

    Raises RunDirectoryError naming the file that is missing or broken, and the next step.
    """
    directory = find_run(path)
    manifest = _read_manifest(directory)
    return Run(
        path=directory,
        manifest=manifest,
        config_text=_read_text(directory / "config.yaml"),
        stages=_stages(directory, manifest),
        trajectories=_trajectories(directory, manifest),
        train_log=frame_of(_read_train_log(directory)),
        tables={path.stem: frame_of(read_table(path)) for path in _other_tables(directory)},
        findings=_read_findings(directory / "findings.json"),
        samples=_read_samples(directory / "samples.jsonl"),
    )


def find_run(path: Path) -> Path:
    """The run directory that ``path`` means; raises RunDirectoryError where there is none."""
    for candidate in (path, partial_path(path), final_path(path)):
        if (candidate / "manifest.json").is_file():
            return candidate.resolve()  # `latest` is a link; the reader wants the run's own name
    if not path.exists():
        raise RunDirectoryError(
            f"There is no run directory {path}. Give the path of one, e.g. outputs/dpo_squeeze/latest."
        )
    runs = sorted(entry.parent for entry in path.glob("*/manifest.json"))
    inside = f"It holds runs: {', '.join(run.name for run in runs[-5:])}; give one of them." if runs else ""
    raise RunDirectoryError(f"{path} is not a run directory: it has no manifest.json. {inside}".rstrip())


def _read_manifest(directory: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = _read_json(directory / "manifest.json")
    found = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if found != MANIFEST_VERSION:
        advice = "read the run with the version of ldyn that wrote it"
        raise RunDirectoryError(
            f"{directory / 'manifest.json'} has version {found}, expected {MANIFEST_VERSION}: {advice}."
        )
    if not isinstance(manifest.get("stages"), list):
        raise RunDirectoryError(
            f"{directory / 'manifest.json'} has no list of stages. Copy the file from the run again."
        )
    return manifest


def _stages(directory: Path, manifest: Mapping[str, Any]) -> tuple[StageInfo, ...]:
    names = [field.name for field in fields(StageInfo)]
    required = [field.name for field in fields(StageInfo) if field.default is MISSING]
    stages = []
    for entry in manifest["stages"]:
        missing = [name for name in required if name not in entry]
        if missing:
            raise RunDirectoryError(f"{directory / 'manifest.json'}: a stage lacks {missing}; it has {sorted(entry)}.")
        known = {name: entry[name] for name in names if name in entry}
        lists = {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        stages.append(StageInfo(**known | lists))
    return tuple(stages)


def _trajectories(directory: Path, manifest: Mapping[str, Any]) -> pd.DataFrame:
    frame = frame_of(_read_trajectories(directory, manifest))
    doubled = frame[frame.duplicated(["stage", "step", "split", "example_id", "probe"])]
    if len(doubled):
        row = doubled.iloc[0]
        what = f"{row.probe} of {row.split} example {row.example_id} at step {row.step} of stage {row.stage}"
        raise RunDirectoryError(
            f"The trajectories of {directory} are doubled: {what} was scored twice. Repeat the run."
        )
    return frame


def _read_trajectories(directory: Path, manifest: Mapping[str, Any]) -> pa.Table:
    path = directory / TRAJECTORIES_FILE
    if path.exists():
        return read_trajectory_file(path)
    if manifest["stages"] and not directory.name.endswith(PARTIAL_SUFFIX):
        raise RunDirectoryError(f"The finished run {directory} has no {TRAJECTORIES_FILE}. Copy the directory again.")
    return merged_trajectories(directory)


def _read_train_log(directory: Path) -> pa.Table:
    path = directory / TRAIN_LOG_FILE
    return read_table(path) if path.exists() else merged_log(directory)


def _other_tables(directory: Path) -> list[Path]:
    own = (TRAJECTORIES_FILE, TRAIN_LOG_FILE)
    return sorted(path for path in directory.glob("*.parquet") if path.name not in own)


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Plain text columns: categories would follow every filter and grouping around."""
    fields = [pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in table.schema]
    frame: pd.DataFrame = table.cast(pa.schema(fields)).to_pandas()
    return frame


def _read_findings(path: Path) -> list[Finding]:
    rows = _read_json(path) if path.exists() else []
    missing = sorted({name for row in rows for name in FINDING_FIELDS if name not in row})
    if missing:
        raise RunDirectoryError(
            f"{path} lacks the fields {missing}. Write it again with the version of ldyn installed."
        )
    return [_finding(row) for row in rows]


def _finding(row: Mapping[str, Any]) -> Finding:
    numbers = {name: float("nan") for name in ("estimate", "ci_low", "ci_high") if row[name] is None}
    return Finding(**{name: row[name] for name in FINDING_FIELDS} | numbers)


def _read_samples(path: Path) -> list[dict[str, Any]]:
    text = _read_text(path)
    lines = [line for line in text.split("\n") if line.strip()]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines) and not text.endswith("\n"):
                break  # torn by a crash while it was written
            raise RunDirectoryError(f"Row {number} of {path} is not JSON ({error}). Copy the file again.") from error
    return rows


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(
            f"{path} cannot be read as JSON ({error}). Copy the file from the run again."
        ) from error
