"""What a run is configured by: the settings of its components, composed. Each stands beside the code it configures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AfterValidator, BeforeValidator

from ldyn.answers.settings import ResponsesConfig, WinsConfig
from ldyn.data.sources import DatasetConfig
from ldyn.models.settings import ModelConfig
from ldyn.probes.builder import ProbesConfig
from ldyn.theory.settings import DecompositionConfig
from ldyn.tracking import LoggerConfig
from ldyn.training.settings import TrainerConfig


def _number_as_text(value: Any) -> Any:
    """`run=1` on a command line arrives as a number; a name is text all the same."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def fit_for_a_directory(name: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise ValueError("expected a name for a directory: letters, digits, _ . + and -, and none of . + - in front")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"expected a name for a directory, of at most {LONGEST_NAME} bytes")
    return name


LONGEST_NAME = 200  # file systems take 255 bytes, and suffixes are added
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]  # what NumPy takes
Name = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(fit_for_a_directory)]


@dataclass(frozen=True)
class DirectoryConfig:
    """Where things go: all runs, and this one."""

    outputs: Path
    run: Path


@dataclass(frozen=True)
class PathsConfig(DirectoryConfig):
    """``cache`` keeps pretrained bases between runs; runs with one ``stages`` share stages (see
    ``ldyn.run.stage_cache``).
    """

    cache: Path
    stages: Path | None = None


@dataclass(frozen=True)
class SamplesConfig:
    """Answers generated before the first stage and after each, for the first ``examples`` probe examples of a split."""

    examples: Annotated[int, Ge(0)] = 24
    max_new_tokens: Annotated[int, Gt(0)] = 48


@dataclass(frozen=True)
class PassesConfig:
    """``samples`` answers to each probe question at each probe step, for pass@k and the entropy of what is sampled."""

    samples: Annotated[int, Ge(1)] = 8
    max_new_tokens: Annotated[int, Gt(0)] = 48


@dataclass(frozen=True)
class StageConfig:
    """One stage: an algorithm (its ``name`` and parameters) on a view of the data, from the weights of ``start``.

    ``start`` is "base" or the name of an earlier stage. ``trainer`` is complete: the run's, with this stage's changes.
    ``responses`` says whether it trains on the data's responses or on answers drawn from the weights of ``start``.
    A groupwise stage (GRPO) takes the prompts alone: it has no view.
    """

    algorithm: Mapping[str, Any]
    start: str
    trainer: TrainerConfig
    view: tuple[Literal["chosen", "rejected"], ...] = ()
    responses: ResponsesConfig = field(default_factory=ResponsesConfig)


@dataclass(frozen=True)
class StudyConfig:
    """What every study has; each adds settings of its own (``ldyn.run.studies`` says what a study is)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}  # for all below

    name: Name
    run: Name
    seed: Seed
    paths: DirectoryConfig

    @property
    def all_seeds(self) -> Sequence[int]:
        return [self.seed]


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a run does. Two equal configs on one machine give the same trajectory.

    report: whether a run ends with figures and a report; `ldyn report` draws them at any time.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}  # for all below

    name: Name
    run: Name
    seed: Seed
    paths: PathsConfig
    model: ModelConfig
    dataset: DatasetConfig
    probes: ProbesConfig
    trainer: TrainerConfig
    logger: LoggerConfig
    samples: SamplesConfig
    stages: Annotated[Mapping[str, StageConfig], MinLen(1)]
    decompose: DecompositionConfig | None = None
    wins: WinsConfig | None = None
    passes: PassesConfig | None = None
    resume: Path | None = field(default=None)
    report: bool = True


@dataclass(frozen=True)
class DecomposeSourceConfig(DecompositionConfig):
    """Which updates `ldyn decompose` decomposes, and how.

    run: the directory of a trained run; without it, the first update of the model, data and stages configured here.
    stages, steps: which updates, by stage and by number of updates made before; without them all that the run kept.
    pairs: ids of the training pairs to update on; without them the batch that the run used.
    """

    run: Path | None = None
    stages: tuple[str, ...] | None = None
    steps: tuple[Annotated[int, Ge(0)], ...] | None = None
    pairs: Annotated[tuple[str, ...], MinLen(1)] | None = None


@dataclass(frozen=True)
class DecomposeStudyConfig(StudyConfig):
    """``experiment`` is the stored configuration of ``decompose.run``, or what was composed."""

    decompose: DecomposeSourceConfig
    experiment: RunConfig
