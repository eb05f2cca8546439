"""Probes within any ``transformers.Trainer``: a callback that scores them on schedule and stores scores and log."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState

from ldyn.models.evaluation import evaluation_mode
from ldyn.probes.builder import ProbesConfig
from ldyn.probes.engine import TokenBudget
from ldyn.probes.scorer import score_probes
from ldyn.records import EncodedProbeExample, ProbeStep
from ldyn.run.session import Session


class ScheduledProbes(TrainerCallback):
    """Calls ``measure`` at ``steps`` of one stage and stores the rows of the log; every process must have it."""

    def __init__(self, session: Session, stage: str, steps: Collection[int]):
        self._session, self._stage, self._steps = session, stage, frozenset(steps)
        self._scored = -1

    def measure(self, model: PreTrainedModel, step: int) -> None:
        """Score the probes after ``step`` updates and store the scores."""
        raise NotImplementedError

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """The model is on its device and sharded by now, so step 0 is scored as the other steps are."""
        if state.global_step == 0 and 0 in self._steps:
            self.score_once(model, 0)

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        if state.global_step in self._steps:
            self.score_once(model, state.global_step)

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs and "loss" in logs:
            self._session.record_log(self._stage, state.global_step, logs)

    def score_once(self, model: PreTrainedModel, step: int) -> None:
        """Measure after ``step`` updates, unless that was the last measurement."""
        if step != self._scored:
            started, self._scored = time.perf_counter(), step
            self.measure(model, step)
            self._session.manifest.add_seconds("probing", time.perf_counter() - started)


class StageProbes(ScheduledProbes):
    """Scores the probes of one stage, with log-probs of every response.

    step_of: steps made -> the row's key in the trajectories. pad_id: fills gaps that nothing sees.
    """

    def __init__(
        self,
        session: Session,
        stage: str,
        examples: Sequence[EncodedProbeExample],
        config: ProbesConfig,
        *,
        pad_id: int,
        steps: Collection[int],
        step_of: Callable[[int], ProbeStep],
    ):
        super().__init__(session, stage, steps)
        self._examples, self._pad_id, self._step_of = examples, pad_id, step_of
        self._budget = TokenBudget(config.token_budget)

    def measure(self, model: PreTrainedModel, step: int) -> None:
        scores = score_probes(model, self._examples, token_budget=self._budget, pad_id=self._pad_id)
        self._session.record_scores(self._step_of(step), scores)


def is_reward_model(model: Any) -> bool:
    """Whether the model gives one number for a text."""
    return type(model).__name__.endswith("ForSequenceClassification") and model.config.num_labels == 1


class RewardProbes(ScheduledProbes):
    """Scores r(x, y) of each probe response into ``rewards.parquet``: stage, step, split, example_id, probe, reward.

    A reward model has no log-probs of responses, so its rewards go into a table of their own.
    """

    def __init__(self, session: Session, stage: str, examples: Sequence[EncodedProbeExample], steps: Sequence[int]):
        super().__init__(session, stage, steps)
        self._examples = examples

    def measure(self, model: Any, step: int) -> None:
        """One sequence at a time, as padding would meet heads that find the last token by the padding token."""
        with evaluation_mode(model):
            rows = [
                (self._stage, step, one.split, one.example_id, probe, self._reward(model, (*one.prompt_ids, *response)))
                for one in self._examples
                for probe, response in one.responses.items()
            ]
        names = ["stage", "step", "split", "example_id", "probe", "reward"]
        self._session.append_to_table("rewards", pd.DataFrame(rows, columns=names))

    def _reward(self, model: Any, ids: tuple[int, ...]) -> float:
        return float(model(input_ids=torch.tensor([ids], device=model.device)).logits.float().flatten()[0])
