"""What a reproduction is made of."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, MinLen

from ldyn.config.schema import DirectoryConfig, Name, StudyConfig

Seconds = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class PartConfig:
    """One experiment or study. ``experiment`` is that of `ldyn train` (left out: the part's own name).

    A study repeats itself over seeds of its own. Where several parts measure one claim, the first speaks for it.
    """

    command: Literal["train", "toy", "images"]
    experiment: str | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class CostsConfig:
    """Seconds of one core, by what a run does; ``trial`` is what ``timed_trial`` took on the machine of the others.

    Null where no trial on this machine can tell (a scale that needs a GPU): the plan shows the numbers as they are.
    """

    trial: Seconds | None
    start: Seconds
    pretraining_step: Seconds
    stage: Seconds
    pointwise_step: Seconds
    pairwise_step: Seconds
    moment: Seconds
    decomposed_moment: Seconds
    drawn_answer: Seconds
    study: Seconds


@dataclass(frozen=True)
class ScaleConfig:
    """How large everything is: ``overrides`` of all experiments, the experiments, and what they cost.

    ``jobs``: runs at a time, where the machine's cores do not tell.
    """

    name: Name
    overrides: tuple[str, ...]
    parts: Annotated[Mapping[str, PartConfig], MinLen(1)]
    costs: CostsConfig
    jobs: Annotated[int, Ge(1)] | None = None


@dataclass(frozen=True)
class ReproductionPaths(DirectoryConfig):
    """``run`` is the reproduction's own directory; ``cache`` keeps pretrained bases."""

    cache: Path


@dataclass(frozen=True)
class ReproduceConfig(StudyConfig):
    """Everything that `ldyn reproduce` needs; the meaning of each setting stands in its YAML file."""

    paths: ReproductionPaths
    scale: ScaleConfig
    seeds: Annotated[int, Ge(1)]
    jobs: Annotated[int, Ge(1)] | None
    threads: Annotated[int, Ge(1)]
    logs: Mapping[Name, Annotated[tuple[Path, ...], MinLen(1)]]
    page: Path | None

    @property
    def all_seeds(self) -> Sequence[int]:
        """Every seed it uses."""
        return range(self.seed, self.seed + self.seeds)

    @property
    def at_a_time(self) -> int:
        """How many runs go on side by side."""
        return self.jobs or self.scale.jobs or max(1, len(os.sched_getaffinity(0)) // self.threads)
