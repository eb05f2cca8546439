"""What `ldyn bench probes` and `ldyn bench train` are configured by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt
from pydantic import Field

from ldyn.data.sources import FilesConfig, HubConfig, MicroworldConfig
from ldyn.models.settings import PretrainedConfig, TinyConfig
from ldyn.records import PROBE_FAMILIES
from ldyn.training.settings import TrainerConfig


@dataclass(frozen=True)
class BenchConfig:
    """How the methods are measured.

    examples: probe examples that each method scores in each repetition, drawn by the seed from all splits.
    without: probes that are left out.
    threads: of each process (None: what torch takes by default). device: "auto" takes a GPU where there is one.
    token_budget: tokens in one forward pass of the padded method and of ours, or "auto": by the rule of a run, which is
        in ``ldyn.probes.engine``. least_memory_token_budget: the same where as little memory as possible is to be used.
    repetitions: how often each method is timed; medians count.
    """

    examples: Annotated[int, Gt(0)] = 8
    without: tuple[str, ...] = ()
    threads: Annotated[int, Gt(0)] | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    token_budget: Annotated[int, Gt(0)] | Literal["auto"] = "auto"
    least_memory_token_budget: Annotated[int, Gt(0)] = 64
    repetitions: Annotated[int, Gt(0)] = 3

    def __post_init__(self) -> None:
        unknown = [probe for probe in self.without if probe not in PROBE_FAMILIES]
        if unknown:
            raise ValueError(f"unknown probes {', '.join(unknown)}; the probes are {', '.join(PROBE_FAMILIES)}")


@dataclass(frozen=True)
class ProbesBenchConfig:
    """Everything that `ldyn bench probes` needs: a model, probes, and how to measure.

    seed: of random weights and of the drawn examples. cache: keeps pretrained tiny bases.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # inherited by every dataclass below

    model: Annotated[TinyConfig | PretrainedConfig, Field(discriminator="kind")]
    dataset: Annotated[MicroworldConfig | FilesConfig | HubConfig, Field(discriminator="source")]
    cache: Path
    seed: Annotated[int, Ge(0)] = 0
    bench: BenchConfig = field(default_factory=BenchConfig)


@dataclass(frozen=True)
class StepsConfig:
    """How training steps are timed.

    steps: that each method makes at a time, after ``warm_up`` steps that do not count. repetitions: how often each
    method has its turn; the median over all steps counts. threads: of each process (None: torch's default).
    """

    steps: Annotated[int, Gt(0)] = 20
    warm_up: Annotated[int, Gt(0)] = 3
    repetitions: Annotated[int, Gt(0)] = 5
    threads: Annotated[int, Gt(0)] | None = None

    @property
    def all_steps(self) -> int:
        """Steps of one repetition."""
        return self.warm_up + self.steps


@dataclass(frozen=True)
class TrainBenchConfig:
    """Everything that `ldyn bench train` needs: a model, pairs, a loss that TRL has as well, and how to time."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # inherited by every dataclass below

    model: Annotated[TinyConfig | PretrainedConfig, Field(discriminator="kind")]
    dataset: Annotated[MicroworldConfig | FilesConfig | HubConfig, Field(discriminator="source")]
    algorithm: Mapping[str, Any]
    trainer: TrainerConfig
    cache: Path
    seed: Annotated[int, Ge(0)] = 0
    bench: StepsConfig = field(default_factory=StepsConfig)
