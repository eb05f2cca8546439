"""A study: an experiment without training stages (`ldyn toy`, `images`, `decompose`), with a run directory of its own.

A study is a function that writes tables into the run directory; `run_study` does the rest. `ldyn verify` and
`ldyn report` read these tables (`Evidence.table`, `Material.tables`) as they read trajectories.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pandas as pd

from ldyn.config.loading import config_to_yaml, settings_hash
from ldyn.config.schema import StudyConfig
from ldyn.run.conclusion import conclude
from ldyn.run.manifest import Manifest, recorded
from ldyn.store import Run, RunDirectory, read_run


@dataclass(frozen=True)
class Study:
    """The open run directory of a study."""

    directory: RunDirectory
    manifest: Manifest

    def timed(self, part: str) -> AbstractContextManager[None]:
        return self.manifest.timed(part)

    def write_table(self, name: str, frame: pd.DataFrame) -> None:
        """Write ``<name>.parquet``; claims and figures find it by ``name``."""
        self.directory.write_table(name, frame)

    def describe(self, *, counts: Mapping[str, int] | None = None, hashes: Mapping[str, str] | None = None) -> None:
        """Add counts of what was read or dropped, and hashes of data and models, to the manifest."""
        self.manifest.update(counts=dict(counts or {}), hashes=dict(hashes or {}))


def run_study(config: StudyConfig, measure: Callable[[Study], None]) -> Run:
    """Let ``measure`` write its tables into a new run directory; then write findings and report, and publish it."""
    directory = RunDirectory.create(config.paths.run)
    directory.write_text("config.yaml", config_to_yaml(config))
    seeds = {"seed": config.seed, "seeds": list(config.all_seeds)}
    hashes = {"settings": settings_hash(config)}
    content = {"name": config.name, "run": config.run, **seeds, "hashes": hashes, "stages": []}
    with recorded(directory, content, "a study cannot be resumed; start it again") as manifest:
        study = Study(directory, manifest)
        measure(study)
        with study.timed("findings and report"):
            conclude(directory, manifest)
    return read_run(directory.publish())
