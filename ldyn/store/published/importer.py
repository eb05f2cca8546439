"""From directories of published logs to a run directory with the trajectory table of any other run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from ldyn.errors import DataError
from ldyn.store.directory import RunDirectory
from ldyn.store.files import write_atomically
from ldyn.store.layout import TRAJECTORIES_FILE
from ldyn.store.published.files import PublishedLog, read_published_log
from ldyn.store.published.stages import LoggedStage, LogSource, logged_stage, stage_kinds, stage_names
from ldyn.store.schema import imported_table, to_bytes


@dataclass(frozen=True)
class ImportedRun:
    """Directorys that were read and found sound, ready to be written as one run; see ``write_run``."""

    stages: Sequence[LoggedStage]

    def manifest(self) -> dict[str, Any]:
        """What the manifest says of the import. How many updates were planned is in no log."""
        return {
            "stages": [asdict(stage.info) for stage in self.stages],
            "notes": [note for stage in self.stages for note in stage.notes],
            "counts": {f"{s.info.name}.{what}": count for s in self.stages for what, count in s.log.counts.items()},
            "hashes": {f"{s.info.name}/{path.name}": _hash(path) for s in self.stages for path in s.files},
        }

    def settings(self) -> str:
        """The text of ``config.yaml``: the directories, and what was told of them or assumed."""
        names = ", ".join(stage.source.directory.resolve().name for stage in self.stages)
        content = {
            "dataset": {"source": "published logs", "path": names},
            "import": {stage.info.name: _settings(stage.source) for stage in self.stages},
        }
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    def table(self) -> pd.DataFrame:
        """The rows of all stages, by stage, evaluation, probe and example."""
        return pd.concat([_rows(stage) for stage in self.stages], ignore_index=True)


def import_logs(sources: Sequence[LogSource]) -> ImportedRun:
    """Read and check every directory, in the order of their stages; nothing is written.

    Raises DataError for a directory that cannot be used, ConfigError for what cannot be told of a stage.
    """
    kinds = stage_kinds(sources)
    names = stage_names(kinds)
    logs: list[PublishedLog] = []
    faults: list[str] = []
    for source in sources:
        try:
            logs.append(read_published_log(source.directory))
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
    stages: list[LoggedStage] = []
    for name, kind, source, log in zip(names, kinds, sources, logs, strict=True):
        stages.append(logged_stage(name, kind, source, log, stages))
    return ImportedRun(stages)


def write_run(imported: ImportedRun, directory: RunDirectory) -> None:
    """Write ``config.yaml`` and ``trajectories.parquet``; the caller writes ``ImportedRun.manifest``."""
    directory.write_text("config.yaml", imported.settings())
    write_atomically(directory.path / TRAJECTORIES_FILE, to_bytes(imported_table(imported.table())))


def _rows(stage: LoggedStage) -> pd.DataFrame:
    info, source, log = stage.info, stage.source, stage.log
    frames = [_probe_rows(probe, measures, log.example_ids) for probe, measures in log.probes.items()]
    rows = pd.concat(frames, ignore_index=True).sort_values("evaluation", kind="stable")
    seen = rows.pop("evaluation") * source.examples_apart
    return rows.assign(
        stage=info.name, algorithm=info.algorithm, split="train", examples_seen=seen, step=seen // source.batch_size
    )


def _probe_rows(probe: str, measures: Mapping[str, Any], example_ids: Sequence[str]) -> pd.DataFrame:
    evaluations, examples = measures["logp"].shape
    rows = {
        "evaluation": np.repeat(np.arange(evaluations), examples),
        "example_id": np.tile(np.array(example_ids), evaluations),
        "probe": probe,
    }
    return pd.DataFrame(rows | {name: values.ravel() for name, values in measures.items()})


def _settings(source: LogSource) -> dict[str, Any]:
    settings = {**asdict(source), "directory": str(source.directory)}
    return {name: value for name, value in settings.items() if value is not None}


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
