"""What `ldyn reproduce` runs: a list of training jobs over (experiment, seed), studies, and published logs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, MinLen

from ldyn.config.schema import DirectoryConfig, Name, StudyConfig
from ldyn.store.directory import partial_path

LOGS, STUDIES = "logs", "studies"


@dataclass(frozen=True)
class PartConfig:
    """One experiment of `ldyn train` (null: the part's own name), or a study, which has seeds of its own."""

    command: Literal["train", "toy", "images"]
    experiment: str | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScaleConfig:
    """``overrides``: of all experiments. ``jobs``: runs at a time; null: one for each core."""

    name: Name
    overrides: tuple[str, ...]
    parts: Annotated[Mapping[str, PartConfig], MinLen(1)]
    jobs: Annotated[int, Ge(1)] | None = None


@dataclass(frozen=True)
class ReproductionPaths(DirectoryConfig):
    """``run`` is the reproduction's own directory; ``cache`` keeps pretrained bases."""

    cache: Path


@dataclass(frozen=True)
class ReproduceConfig(StudyConfig):
    """Settings of `ldyn reproduce`; configs/reproduce.yaml describes them."""

    paths: ReproductionPaths
    scale: ScaleConfig
    seeds: Annotated[int, Ge(1)]
    jobs: Annotated[int, Ge(1)] | None
    threads: Annotated[int, Ge(1)]
    logs: Mapping[Name, Annotated[tuple[Path, ...], MinLen(1)]]
    page: Path | None
    dry_run: bool

    @property
    def all_seeds(self) -> Sequence[int]:
        """Every seed it uses."""
        return range(self.seed, self.seed + self.seeds)

    @property
    def at_a_time(self) -> int:
        """How many runs run at a time on this machine."""
        return self.jobs or self.scale.jobs or max(1, len(os.sched_getaffinity(0)) // self.threads)


@dataclass(frozen=True)
class PlainJob:
    """A command of ldyn that makes ``directory``."""

    name: str
    arguments: tuple[str, ...]
    directory: Path


def training_jobs(config: ReproduceConfig) -> dict[str, list[str]]:
    """Name of the run -> its overrides of `ldyn train`. Jobs side by side differ in their seed: they share no stage."""
    shared = [f"paths.cache='{config.paths.cache}'", *config.scale.overrides]
    return {
        f"{name}-{seed}": [f"+exp={part.experiment or name}", f"seed={seed}", *shared, *part.overrides]
        for name, part in config.scale.parts.items()
        if part.command == "train"
        for seed in config.all_seeds
    }


def plain_jobs(config: ReproduceConfig) -> list[PlainJob]:
    """Studies and imports, which take about a minute each and run where the command was typed."""
    jobs = []
    for name, part in config.scale.parts.items():
        directory = config.paths.run / STUDIES / name
        if part.command != "train":
            jobs.append(PlainJob(name, (part.command, f"paths.run='{directory}'", *part.overrides), directory))
    for name, sources in config.logs.items():
        directory = config.paths.run / LOGS / name
        arguments = ("import-logs", *map(str, sources), "--out", str(directory))
        jobs.append(PlainJob(f"{LOGS}/{name}", arguments, directory))
    return jobs


def state_of(directory: Path) -> str:
    """finished, unfinished or new."""
    if (directory / "manifest.json").exists():
        return "finished"
    return "unfinished" if partial_path(directory).exists() else "new"


def expected_seconds(directory: Path, name: str) -> float | None:
    """How long the last finished run of the same part took, under another seed; None where there is none."""
    part = name.rpartition("-")[0]
    manifests = sorted(directory.glob(f"{part}-*/manifest.json"), key=lambda path: path.stat().st_mtime)
    if not part or not manifests:
        return None
    seconds = json.loads(manifests[-1].read_text(encoding="utf-8")).get("seconds", {})
    return float(sum(seconds.values()))
