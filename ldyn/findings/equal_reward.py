"""R5's comparison: how far off-policy DPO and GRPO have squeezed where both have gained the same reward.

The reward is pass@1 of the train probe questions. The reward at which the arms are compared is the highest that both
reach at a probe step. Each arm is read where it first reaches it, linear between two probe steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ldyn.findings.evidence import Evidence
from ldyn.records import StageInfo

GAIN = 0.05
"""The smallest gain of pass@1 at which arms are compared."""


@dataclass(frozen=True)
class Course:
    """An arm at its probe steps, in the order they ran: steps × questions. rewards: pass@1.

    squeeze: the change of log π(y*) along y⁺ minus that of y⁺ since the arm's start, nats.
    """

    rewards: pd.DataFrame
    squeeze: pd.DataFrame

    @property
    def reward(self) -> pd.Series:
        """The mean over questions at each step."""
        return self.rewards.mean(axis=1)

    def at(self, reward: float) -> pd.Series:
        """The squeeze of each question where ``reward`` is first reached."""
        place = int((self.reward >= reward).argmax())
        if place == 0:
            return self.squeeze.iloc[0]
        low, high = self.reward.iloc[place - 1], self.reward.iloc[place]
        share = (reward - low) / (high - low)
        squeeze: pd.Series = (1 - share) * self.squeeze.iloc[place - 1] + share * self.squeeze.iloc[place]
        return squeeze


def course_of(evidence: Evidence, rounds: Sequence[StageInfo], answers: Sequence[pd.DataFrame | None]) -> Course | None:
    """``answers``: of each round pass@1, questions × steps; None where a round lacks them or the curves of y⁺."""
    rewards, gaps = [], []
    for stage, sampled in zip(rounds, answers, strict=True):
        greedy, chosen = (evidence.curve(stage, "chosen", column) for column in ("logp_argmax", "logp"))
        if sampled is None or greedy is None or chosen is None:
            return None
        gap = greedy.values - chosen.values
        steps = gap.columns.intersection(sampled.columns)
        rewards.append(sampled[steps].T)
        gaps.append(gap[steps].T)
    squeeze = pd.concat(gaps, ignore_index=True)
    return Course(pd.concat(rewards, ignore_index=True), squeeze - squeeze.iloc[0])


def equal_reward(one: Course, other: Course) -> float | None:
    """The highest pass@1 that both reach; None below a gain of GAIN over the start (mean of both: the same weights)."""
    reward = min(one.reward.max(), other.reward.max())
    start = (one.reward.iloc[0] + other.reward.iloc[0]) / 2
    return reward if reward >= start + GAIN else None
