"""The settings of `ldyn bench`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt

from ldyn.data.sources import DatasetConfig
from ldyn.models.settings import ModelConfig
from ldyn.training.settings import TrainerConfig

Count = Annotated[int, Gt(0)]


@dataclass(frozen=True)
class TurnsConfig:
    """probes: in one turn a method scores ``examples``, drawn by the seed, but for the probes of ``without``.

    ``token_budget``: of one forward pass ("auto": the rule of a run). train: ``steps`` steps after ``warm_up`` ones, by
    trl, ours and the other ``methods``.
    """

    repetitions: Count = 3
    threads: Count | None = None
    examples: Count = 8
    without: tuple[str, ...] = ()
    token_budget: Count | Literal["auto"] = "auto"
    steps: Count = 20
    warm_up: Count = 3
    methods: tuple[Literal["trl_precomputed", "padded"], ...] = ("trl_precomputed", "padded")


@dataclass(frozen=True)
class BenchConfig:
    """The configuration of `ldyn bench`. algorithm, trainer: of training only. cache: keeps pretrained tiny bases."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # inherited by every dataclass below

    model: ModelConfig
    dataset: DatasetConfig
    cache: Path
    json: bool = False
    save: Path | None = None
    seed: Annotated[int, Ge(0)] = 0
    algorithm: Mapping[str, Any] = field(default_factory=dict)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    bench: TurnsConfig = field(default_factory=TurnsConfig)
