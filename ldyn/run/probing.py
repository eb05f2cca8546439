"""Probes within any ``transformers.Trainer``: a callback that scores them on schedule and stores scores and log."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState

from ldyn.probes.builder import ProbesConfig
from ldyn.probes.engine import TokenBudget
from ldyn.probes.scorer import score_probes, score_tokens
from ldyn.records import EncodedProbeExample, ProbeScore, ProbeStep, TokenRecord
from ldyn.run.session import Session


class StageProbes(TrainerCallback):
    """Scores the probes of one stage at ``steps``; every process must have it.

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
        self._session, self._stage, self._examples = session, stage, examples
        self._pad_id, self._per_token, self._steps, self._step_of = pad_id, config.per_token, frozenset(steps), step_of
        self._scored = -1
        self._budget = TokenBudget(config.token_budget)
        self._start = functools.cache(lambda: session.store.start_tokens(stage))  # read once, also after a resume

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """The model is on its device and sharded by now, so step 0 is scored as the other steps are."""
        if state.global_step == 0:
            self._score_if_due(model, 0)

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        self._score_if_due(model, state.global_step)

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

    def score_last(self, model: PreTrainedModel, step: int) -> None:
        """Score after the last update, unless it was scored."""
        if step != self._scored:
            self._score(model, step)

    def _score_if_due(self, model: PreTrainedModel, step: int) -> None:
        if step in self._steps:
            self._score(model, step)

    def _score(self, model: PreTrainedModel, step: int) -> None:
        started, self._scored = time.perf_counter(), step
        self._session.record_scores(self._step_of(step), *self._measure(model, step))
        self._session.manifest.add_seconds("probing", time.perf_counter() - started)

    def _measure(self, model: PreTrainedModel, step: int) -> tuple[list[ProbeScore], list[TokenRecord]]:
        """Scores and, if configured, token records after ``step`` updates; those of step 0 must be stored first."""
        if not self._per_token:
            return score_probes(model, self._examples, token_budget=self._budget, pad_id=self._pad_id), []
        start = self._start() if step > 0 else None
        return score_tokens(model, self._examples, token_budget=self._budget, pad_id=self._pad_id, start=start)
