"""From the configured stages to trained ones: plans, start weights, the stage cache, and scoring on schedule."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from transformers import PreTrainedModel

from ldyn.algorithms import algorithm_of, algorithm_parameters
from ldyn.config.schema import RunConfig
from ldyn.models.base import BaseModel
from ldyn.probes.builder import ProbesConfig
from ldyn.probes.engine import TokenBudget
from ldyn.probes.scorer import score_probes, score_tokens
from ldyn.processes.group import from_main, in_main
from ldyn.processes.signals import StopRequest
from ldyn.records import EncodedPair, EncodedProbeExample, ProbeScore, StageInfo, TokenRecord
from ldyn.run.session import Session
from ldyn.run.stage_cache import stage_cache, stage_key
from ldyn.store import TrajectoryStore
from ldyn.training.checkpoints import final_directory, last_complete_checkpoint, start_weights
from ldyn.training.stage import StageLength, StageObservers, StagePlan, train_stage

if TYPE_CHECKING:
    from ldyn.run.preparation import Prepared


def stage_plans(config: RunConfig) -> list[StagePlan]:
    """The stages of a validated config, in the order in which they run."""
    plans = []
    for name, stage in config.stages.items():
        algorithm, rate = algorithm_of(stage.algorithm), stage.trainer.learning_rate
        view, sampled = tuple(stage.view), stage.responses.sampled
        info = StageInfo(name, algorithm.name, algorithm.kind, view, stage.start, rate, sampled)
        parameters = algorithm_parameters(stage.algorithm)
        plans.append(StagePlan(info, algorithm, parameters, stage.trainer, config.paths.cache))
    return plans


def run_stage(
    plan: StagePlan,
    pairs: Sequence[EncodedPair],
    prepared: Prepared,
    config: RunConfig,
    session: Session,
    stop: StopRequest,
) -> None:
    """Train one stage unless its final weights are there already or in the stage cache."""
    info, directory = plan.info, session.stage_directory(plan.info.name)
    length = StageLength.of(plan, len(pairs))
    if from_main(lambda: final_directory(directory).exists()):
        session.recall_stage(info, length.total_steps)
        return
    checkpoint = from_main(lambda: last_complete_checkpoint(directory))
    steps = length.scheduled(config.probes.schedule)
    model = stage_weights(info.start, prepared.base, session)
    cache = stage_cache(config)
    key = from_main(lambda: stage_key(plan, model, pairs, prepared, config) if cache else "")
    # A stage with snapshots must make them itself; one that has a checkpoint continues from it.
    is_reusable = checkpoint is None and plan.trainer.snapshots is None
    session.begin_stage(info, length.total_steps, after_step=checkpoint[1] if checkpoint else -1)
    with session.timed(info.name):
        if not (cache and is_reusable and from_main(lambda: cache.reuse(key, plan, steps, session))):
            _train(plan, model, pairs, prepared, config, session, stop)
            if cache:
                in_main(lambda: cache.store(key, config.paths.run, info.name, steps))
    session.finish_stage(info)


def _train(
    plan: StagePlan,
    model: PreTrainedModel,
    pairs: Sequence[EncodedPair],
    prepared: Prepared,
    config: RunConfig,
    session: Session,
    stop: StopRequest,
) -> None:
    info, length, tokenizer = plan.info, StageLength.of(plan, len(pairs)), prepared.base.tokenizer
    scoring = StageScoring(prepared.encoded, config.probes, int(tokenizer.pad_token_id), session.store, info.name)

    def probe(model: PreTrainedModel, step: int) -> None:
        started = time.perf_counter()
        session.record_scores(length.probe_step(info, step), *scoring.measure(model, step))
        session.manifest.add_seconds("probing", time.perf_counter() - started)

    def log(step: int, metrics: Mapping[str, float]) -> None:
        session.record_log(info.name, step, metrics)

    train_stage(
        plan,
        model,
        tokenizer,
        pairs,
        directory=session.stage_directory(info.name),
        seed=config.seed,
        probe_steps=length.scheduled(config.probes.schedule),
        observe=StageObservers(probe, log, functools.partial(session.commit_log, info.name)),
        stop=stop,
    )


class StageScoring:
    """Scores one stage's probes; holds the token budget and the token records of the stage's start."""

    def __init__(
        self,
        examples: Sequence[EncodedProbeExample],
        config: ProbesConfig,
        pad_id: int,
        store: TrajectoryStore,
        stage: str,
    ):
        self._examples, self._pad_id, self._per_token = examples, pad_id, config.per_token
        self._budget = TokenBudget(config.token_budget)
        self._start = functools.cache(functools.partial(store.start_tokens, stage))  # read once, also after a resume

    def measure(self, model: PreTrainedModel, step: int) -> tuple[list[ProbeScore], list[TokenRecord]]:
        """Scores and, if configured, token records after ``step`` updates; those of step 0 must be stored first."""
        if not self._per_token:
            return score_probes(model, self._examples, token_budget=self._budget, pad_id=self._pad_id), []
        start = self._start() if step > 0 else None
        return score_tokens(model, self._examples, token_budget=self._budget, pad_id=self._pad_id, start=start)


def stage_weights(stage: str, base: BaseModel, session: Session) -> PreTrainedModel:
    """A separate model with the last weights of ``stage``, or of the base ("base")."""
    return start_weights(stage, base, session.stage_directory)
