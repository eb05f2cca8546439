"""A study: an experiment without training stages, with a run directory like any other.

It writes tables of its own; claims and figures are made from them, so `ldyn verify` and `ldyn report` work on its
directory. A study is a function of a ``Study``; ``run_study`` does all the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ldyn.config.hashes import settings_hash
from ldyn.config.loading import config_to_yaml
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
        """Count the wall time of a part of the study in the manifest's ``seconds``."""
        return self.manifest.timed(part)

    def write_table(self, name: str, frame: pd.DataFrame) -> None:
        """Write ``<name>.parquet``; claims and figures find it by ``name``."""
        self.directory.write_table(name, frame)

    def describe(self, *, counts: Mapping[str, int] | None = None, hashes: Mapping[str, str] | None = None) -> None:
        """Add to the manifest what was read, dropped or repaired, and hashes of data and models."""
        self.manifest.update(counts=dict(counts or {}), hashes=dict(hashes or {}))


def run_study(config: StudyConfig, measure: Callable[[Study], None]) -> Run:
    """Call ``measure`` on a new run directory, then judge the claims, write the report and publish; return the run."""
    with open_study(config) as study:
        measure(study)
        with study.timed("findings and report"):
            conclude(study.directory, study.manifest)
    return read_run(study.directory.publish())


@contextmanager
def open_study(config: StudyConfig) -> Iterator[Study]:
    """Make the run directory; on the way out write to the manifest how the study ended."""
    directory = RunDirectory.create(config.paths.run)
    directory.write_text("config.yaml", config_to_yaml(config))
    with recorded(directory, first_content(config), "a study cannot be resumed; start it again") as manifest:
        yield Study(directory, manifest)


def first_content(config: StudyConfig) -> dict[str, Any]:
    """The manifest of a study at its start: it has no stages."""
    seeds = {"seed": config.seed, "seeds": list(config.all_seeds)}
    hashes = {"settings": settings_hash(config)}
    return {"name": config.name, "run": config.run, **seeds, "hashes": hashes, "stages": []}
