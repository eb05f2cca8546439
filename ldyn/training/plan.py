"""A stage as configured, and how many updates it makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ldyn.algorithms import Algorithm
from ldyn.probes.schedule import ScheduleConfig, scheduled_steps
from ldyn.records import EncodedPair, ProbeStep, StageInfo
from ldyn.training.settings import TrainerConfig


@dataclass(frozen=True)
class StagePlan:
    """An algorithm with its parameters, on a view of the pairs."""

    info: StageInfo
    algorithm: Algorithm
    parameters: Mapping[str, Any]
    trainer: TrainerConfig


RewardFunction = Callable[[Sequence[str], Sequence[str], Sequence[Sequence[int]]], Sequence[float]]
"""(example ids, texts, token ids) of sampled answers -> a finite reward for each."""


@dataclass(frozen=True)
class Rollouts:
    """What a groupwise stage trains on: answers that it samples to the prompts of ``pairs``.

    is_exact: whether a reward above 0.5 marks a right answer; else one above the mean of its group.
    end_ids: the tokens that end an answer. record: gets the rows of every update, in the main process.
    """

    pairs: Sequence[EncodedPair]
    reward: RewardFunction
    is_exact: bool
    end_ids: tuple[int, ...]
    record: Callable[[Sequence[Mapping[str, Any]]], None]


@dataclass(frozen=True)
class StageLength:
    """How many examples a stage has and how many updates it makes."""

    examples: int
    examples_per_step: int
    total_steps: int

    @classmethod
    def of(cls, plan: StagePlan, pairs: int) -> StageLength:
        examples = pairs * len(plan.info.view) if plan.info.kind == "pointwise" else pairs
        batch_size = plan.trainer.batch_size  # of all processes together
        if plan.info.kind == "groupwise":
            examples -= examples % batch_size  # TRL drops the last prompts of an epoch where they are no whole batch
        one_epoch = math.ceil(examples / batch_size)
        total = plan.trainer.max_steps or math.ceil(plan.trainer.epochs * one_epoch)  # type: ignore[operator]
        return cls(examples, batch_size, total)

    @property
    def steps_per_epoch(self) -> int:
        """The last one of an epoch may have fewer examples."""
        return math.ceil(self.examples / self.examples_per_step)

    def scheduled(self, schedule: ScheduleConfig) -> tuple[int, ...]:
        """The steps of the schedule in this stage, from 0 to the last."""
        return scheduled_steps(self.total_steps, schedule, self.steps_per_epoch)

    def probe_step(self, info: StageInfo, step: int) -> ProbeStep:
        """The examples seen and the epoch after ``step`` updates; the last batch of an epoch may be smaller."""
        epochs, rest = divmod(step, self.steps_per_epoch)
        seen = epochs * self.examples + rest * self.examples_per_step
        return ProbeStep(info.name, info.algorithm, step, seen, seen / self.examples)
