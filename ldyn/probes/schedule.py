"""At which steps of a stage probes are scored and snapshots kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt


@dataclass(frozen=True)
class ScheduleConfig:
    """Steps of a stage; step 0 and the last step always belong to it.

    kind: "linear" spaces the steps evenly, "log" by equal ratios (the first updates move most).
    points: how many steps, the first and the last included.
    every: linear only: after every so many steps instead of ``points`` times.
    epochs: instead: after so many passes over the stage's examples; those beyond its end are ignored.
    """

    kind: Literal["linear", "log"] = "linear"
    points: Annotated[int, Ge(2)] = 21
    every: Annotated[int, Gt(0)] | None = None
    epochs: tuple[Annotated[float, Gt(0)], ...] | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.every is not None:
            raise ValueError(f"every={self.every} with epochs={list(self.epochs)}: found both, expected at most one")
        if self.kind == "log" and self.every is not None:
            raise ValueError(
                f"every={self.every} with kind=log: log spacing has no fixed distance; set points, or kind=linear"
            )


def scheduled_steps(total_steps: int, schedule: ScheduleConfig, steps_per_epoch: int) -> tuple[int, ...]:
    """The scheduled steps of a stage, ascending, from 0 to ``total_steps``.

    Points that round to the same step are merged, so a short stage has fewer.
    """
    if total_steps <= 0:
        return (0,)
    if schedule.epochs is not None:
        inner = [round(epochs * steps_per_epoch) for epochs in schedule.epochs]
        return tuple(sorted({0, *(step for step in inner if 0 < step < total_steps), total_steps}))
    if schedule.every is not None:
        return tuple(sorted({*range(0, total_steps, schedule.every), total_steps}))
    intervals = schedule.points - 1
    if schedule.kind == "linear":
        inner = [round(total_steps * point / intervals) for point in range(intervals)]
    else:  # 0, then from step 1 to the last by equal ratios
        inner = [round(total_steps ** (point / (intervals - 1))) for point in range(intervals - 1)]
    return tuple(sorted({0, *inner, total_steps}))
