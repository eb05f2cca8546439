"""What is measured at each moment of a decomposition. No torch here, so that configs validate quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, MinLen

StepSize = Annotated[float, Gt(0)]


@dataclass(frozen=True)
class DecompositionConfig:
    """How much is observed, and how.

    examples: at most so many train probe examples, each with all its responses.
    step_sizes: multiples of the update at which prediction and actual change are compared; 1 is the optimizer's own.
    kernel_examples, projections: of so many of these examples kernel norms are estimated, by so many projections each;
        0 examples leaves them out.
    influence_examples: of so many the influence is resolved token by token (the exact level); 0 leaves it out.
    limit_gib: the most memory that the exact level may take.
    method: how changes are predicted: "forward" mode, by gradients ("backward"), or forward where the model allows it.
    precision: type of weights and arithmetic after the step was taken; the optimizer's step itself is the run's own.
    token_budget: tokens in one pass; it decides speed and memory only.
    """

    examples: Annotated[int, Gt(0)] = 24
    step_sizes: Annotated[tuple[StepSize, ...], MinLen(1)] = (0.1, 0.3, 1.0, 3.0, 10.0)
    kernel_examples: Annotated[int, Ge(0)] = 8
    projections: Annotated[int, Ge(2)] = 12
    influence_examples: Annotated[int, Ge(0)] = 1
    limit_gib: Annotated[float, Gt(0)] = 4.0
    method: Literal["auto", "forward", "backward"] = "auto"
    precision: Literal["float32", "float64"] = "float32"
    token_budget: Annotated[int, Gt(0)] = 2048

    def __post_init__(self) -> None:
        if 1.0 not in self.step_sizes:
            raise ValueError(f"step_sizes={list(self.step_sizes)} lacks 1, the optimizer's own step; add it")
