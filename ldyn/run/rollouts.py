"""What a GRPO stage takes from the run: rewards by name, ends of answers, and the table ``rollouts.parquet``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from ldyn.answers.generation import Decoding, answer_prompts, end_ids
from ldyn.answers.rewards import Reward, find_reward
from ldyn.answers.settings import FACTS
from ldyn.processes.group import in_main
from ldyn.run.session import Session
from ldyn.training.plan import Rollouts, StagePlan

if TYPE_CHECKING:
    from ldyn.run.preparation import Prepared

ROLLOUTS_TABLE = "rollouts"
COLUMNS = (
    *("stage", "step", "example_id", "response", "n_tokens", "stopped", "reward", "correct", "advantage"),
    *("coefficient", "logp_before", "logp_after", "entropy", "shared_tokens"),
)
TRIED = 2
"""Answers of the base to which a reward function is applied before the first stage."""


def checked_rewards(plans: Sequence[StagePlan], prepared: Prepared) -> Mapping[str, Reward]:
    """The rewards of all stages by name, each tried on answers of the base; raises as ``find_reward``."""
    names = dict.fromkeys(str(plan.parameters["reward"]) for plan in plans if plan.algorithm.kind == "groupwise")
    prompts = {pair.pair_id: pair.prompt for pair in prepared.data.pairs}
    rewards = {name: find_reward(name, prepared.data.checker, prompts) for name in names}
    if rewards:
        in_main(partial(_try_rewards, rewards, prepared))
    return rewards


def _try_rewards(rewards: Mapping[str, Reward], prepared: Prepared) -> None:
    asked, answering = prepared.pairs[:TRIED], prepared.answering
    how = Decoding(answering.settings.max_new_tokens, answering.sampling("rewards"))
    answers = answer_prompts(prepared.base.model, answering.tokenizer, [pair.prompt_ids for pair in asked], how)
    texts, tokens = [answer.text for answer in answers], [answer.token_ids for answer in answers]
    for reward in rewards.values():
        reward([pair.pair_id for pair in asked], texts, tokens)


class RolloutTable:
    """The rows of a stage's updates; they are written where the stage writes a checkpoint, and at its end."""

    def __init__(self, session: Session):
        self._session = session
        self._rows: list[Mapping[str, Any]] = []

    def commit(self) -> None:
        if self._rows:
            self._session.append_to_table(ROLLOUTS_TABLE, pd.DataFrame(self._rows, columns=list(COLUMNS)))
        self._rows.clear()

    def rollouts(self, plan: StagePlan, rewards: Mapping[str, Reward], prepared: Prepared) -> Rollouts:
        """What a groupwise stage samples, with this table as the place of its rows."""
        name = str(plan.parameters["reward"])
        ends = end_ids(prepared.base.model, prepared.base.tokenizer)
        return Rollouts(prepared.pairs, rewards[name], name == FACTS, ends, self._rows.extend)
