"""What all imports of other trainings' logs write: a run directory's manifest and configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from ldyn.records import StageInfo
from ldyn.store.directory import TRAJECTORIES_FILE, RunDirectory
from ldyn.store.files import write_atomically
from ldyn.store.schema import to_bytes


@dataclass(frozen=True)
class ImportedStage:
    """A stage with the files it is from, notes for the reader of its numbers, and what was counted."""

    info: StageInfo
    files: Sequence[Path]
    notes: Sequence[str]
    counts: Mapping[str, int]


def import_manifest(stages: Sequence[ImportedStage]) -> dict[str, Any]:
    """The manifest's part about the import. How many updates were planned is in no log."""
    files = [(stage.info.name, path) for stage in stages for path in stage.files]
    return {
        "stages": [asdict(stage.info) for stage in stages],
        "notes": [note for stage in stages for note in stage.notes],
        "counts": {f"{one.info.name}.{name}": count for one in stages for name, count in one.counts.items()},
        "hashes": {f"{name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files},
    }


def write_source(
    directory: RunDirectory, source: str, names: Sequence[str], settings: Mapping[str, Any], trajectories: pa.Table
) -> None:
    """Write ``config.yaml`` (what was imported, by stage) and ``trajectories.parquet``."""
    content = {"dataset": {"source": source, "path": ", ".join(names)}, "import": dict(settings)}
    directory.write_text("config.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    write_atomically(directory.path / TRAJECTORIES_FILE, to_bytes(trajectories))
