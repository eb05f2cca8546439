"""Settings of `ldyn decompose`, `ldyn toy` and `ldyn images`. No torch here, so that they are checked quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen

PositiveFloat = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class DecompositionConfig:
    """What is observed at every update that is decomposed, and how; see configs/decompose/default.yaml."""

    examples: Annotated[int, Gt(0)] = 24
    step_sizes: Annotated[tuple[PositiveFloat, ...], MinLen(1)] = (0.1, 0.3, 1.0, 3.0, 10.0)
    kernel_examples: Annotated[int, Ge(0)] = 8
    projections: Annotated[int, Ge(2)] = 12
    precision: Literal["float32", "float64"] = "float32"
    token_budget: Annotated[int, Gt(0)] = 2048

    def __post_init__(self) -> None:
        if 1.0 not in self.step_sizes:
            raise ValueError(f"step_sizes={list(self.step_sizes)} lacks 1, the optimizer's own step; add it")


@dataclass(frozen=True)
class ToyConfig:
    """Random starts of `ldyn toy`, and the steps taken from them; see configs/toy.yaml."""

    labels: Annotated[tuple[Annotated[int, Ge(10)], ...], MinLen(1)] = (50, 1000)
    starts: Annotated[int, Ge(1)] = 20
    flat: PositiveFloat = 1.0
    peaky: PositiveFloat = 5.0
    valley: Annotated[float, Gt(0), Le(0.5)] = 0.1
    step_sizes: Annotated[tuple[PositiveFloat, ...], MinLen(2)] = (0.1, 0.5, 2.0)
    steps: Annotated[int, Ge(1)] = 5

    def __post_init__(self) -> None:
        if self.peaky <= self.flat:
            raise ValueError(f"expected peaky above flat; it is {self.peaky:g}, flat is {self.flat:g}")
        if list(self.step_sizes) != sorted(set(self.step_sizes)):
            raise ValueError("expected step_sizes in ascending order, each once")


@dataclass(frozen=True)
class ImagesConfig:
    """How the classifier of `ldyn images` learns and what is observed; see configs/images.yaml."""

    steps: Annotated[int, Gt(0)] = 1000
    learning_rate: PositiveFloat = 0.05
    observed: Annotated[int, Gt(0)] = 5
    measure_every: Annotated[int, Ge(1)] = 20
