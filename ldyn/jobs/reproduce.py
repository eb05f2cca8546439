"""What `ldyn reproduce` runs: a list of training jobs over (experiment, seed), studies, and published logs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, MinLen

from ldyn.config.schema import DirectoryConfig, Name, StudyConfig

LOGS, STUDIES = "logs", "studies"


@dataclass(frozen=True)
class PartConfig:
    """One experiment of `ldyn train` (null: the part's own name), or a study; ``seeds``: null is the scale's.

    seed_offset: of its first seed from the reproduction's, for a part that was preregistered under seeds of its own.
    """

    command: Literal["train", "toy", "images"]
    experiment: str | None = None
    seeds: Annotated[int, Ge(1)] | None = None
    seed_offset: Annotated[int, Ge(0)] = 0
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScaleConfig:
    """``overrides``: of all experiments. ``jobs``: runs at a time; null: one for each core."""

    name: Name
    seeds: Annotated[int, Ge(1)]
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
    seeds: Annotated[int, Ge(1)] | None
    jobs: Annotated[int, Ge(1)] | None
    threads: Annotated[int, Ge(1)]
    logs: Mapping[Name, Annotated[tuple[Path, ...], MinLen(1)]]
    page: Path | None
    dry_run: bool

    def seeds_of(self, part: PartConfig) -> range:
        """The seeds of a part: as many as given for all, or as the part, or the scale says."""
        first = self.seed + part.seed_offset
        return range(first, first + (self.seeds or part.seeds or self.scale.seeds))

    @property
    def at_a_time(self) -> int:
        """How many runs run at a time on this machine."""
        return self.jobs or self.scale.jobs or max(1, len(os.sched_getaffinity(0)) // self.threads)


def training_jobs(config: ReproduceConfig) -> dict[str, list[str]]:
    """Name of the run -> its overrides of `ldyn train`. Jobs side by side differ in their seed: they share no stage."""
    shared = [f"paths.cache='{config.paths.cache}'", *config.scale.overrides]
    return {
        f"{name}-{seed}": [f"+exp={part.experiment or name}", f"seed={seed}", *shared, *part.overrides]
        for name, part in config.scale.parts.items()
        if part.command == "train"
        for seed in config.seeds_of(part)
    }


def plain_jobs(config: ReproduceConfig) -> dict[str, tuple[str, ...]]:
    """Directory below the reproduction's own -> the words after `ldyn` that make it: studies and imports.

    Each takes about a minute and runs where the command was typed.
    """
    jobs: dict[str, tuple[str, ...]] = {}
    for name, part in config.scale.parts.items():
        if part.command != "train":
            directory = config.paths.run / STUDIES / name
            seeds = config.seeds_of(part)
            words = (f"seed={seeds.start}", f"seeds={len(seeds)}", f"paths.run='{directory}'")
            jobs[f"{STUDIES}/{name}"] = (part.command, *words, *part.overrides)
    for name, sources in config.logs.items():
        directory = config.paths.run / LOGS / name
        jobs[f"{LOGS}/{name}"] = ("import-logs", *map(str, sources), "--out", str(directory))
    return jobs
