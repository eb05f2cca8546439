"""From the configured stages to trained ones: plans, start weights, and probing on schedule."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence

from transformers import PreTrainedModel

from ldyn.algorithms import algorithm_of, algorithm_parameters
from ldyn.config.schema import RunConfig
from ldyn.models.base import BaseModel
from ldyn.probes.budget import TokenBudget
from ldyn.probes.builder import ProbesConfig
from ldyn.probes.scorer import score_probes, score_tokens
from ldyn.processes.group import from_main, in_main
from ldyn.processes.signals import StopRequest
from ldyn.records import EncodedPair, EncodedProbeExample, ProbeScore, StageInfo, TokenRecord
from ldyn.run.session import Session
from ldyn.run.stage_cache import exchange_of, stage_key, take_over
from ldyn.store import TrajectoryStore
from ldyn.training.checkpoints import final_directory, last_complete_checkpoint, start_weights
from ldyn.training.stage import StageLength, StageObservers, StagePlan, train_stage


def stage_plans(config: RunConfig) -> list[StagePlan]:
    """The stages of a validated config, in the order in which they run."""
    plans = []
    for name, stage in config.stages.items():
        algorithm = algorithm_of(stage.algorithm)
        info = StageInfo(
            name,
            algorithm.name,
            algorithm.kind,
            tuple(stage.view),
            stage.start,
            stage.trainer.learning_rate,
            stage.responses.sampled,
        )
        parameters = algorithm_parameters(stage.algorithm)
        plans.append(StagePlan(info, algorithm, parameters, stage.trainer, config.paths.cache))
    return plans


def run_stage(
    plan: StagePlan,
    base: BaseModel,
    pairs: Sequence[EncodedPair],
    probes: Sequence[EncodedProbeExample],
    config: RunConfig,
    session: Session,
    stop: StopRequest,
) -> None:
    """Train one stage unless its final weights are there already; scores and log rows go to the session."""
    info, directory = plan.info, session.stage_directory(plan.info.name)
    is_trained, checkpoint = from_main(
        lambda: (final_directory(directory).exists(), last_complete_checkpoint(directory))
    )
    length = StageLength.of(plan, len(pairs))
    if is_trained:
        session.recall_stage(info, length.total_steps)
        return
    steps = length.scheduled(config.probes.schedule)
    model = stage_weights(info.start, base, session)
    exchange = exchange_of(config)
    key = from_main(lambda: stage_key(plan, model, base.tokenizer, pairs, probes, config) if exchange else "")
    # What keeps snapshots must make them; what has begun goes on by itself.
    may_share = exchange is not None and checkpoint is None and plan.trainer.snapshots is None

    def taken_over() -> bool:
        shared = exchange.find(key, steps) if exchange and may_share else None
        if shared:
            take_over(shared, plan, steps, session)
        return shared is not None

    session.begin_stage(info, length.total_steps, after_step=checkpoint[1] if checkpoint else -1)
    with session.timed(info.name):
        if not from_main(taken_over):
            _train(plan, model, base, pairs, probes, config, session, stop)
            if exchange:
                in_main(lambda: exchange.offer(key, config.paths.run, info.name, steps))
    session.finish_stage(info)


def _train(
    plan: StagePlan,
    model: PreTrainedModel,
    base: BaseModel,
    pairs: Sequence[EncodedPair],
    probes: Sequence[EncodedProbeExample],
    config: RunConfig,
    session: Session,
    stop: StopRequest,
) -> None:
    info, length = plan.info, StageLength.of(plan, len(pairs))
    probing = StageProbing(probes, config.probes, base.tokenizer.pad_token_id, session.store, info.name)

    def probe(model: PreTrainedModel, step: int) -> None:
        started = time.perf_counter()
        session.record_scores(length.probe_step(info, step), *probing.measure(model, step))
        session.add_seconds("probing", time.perf_counter() - started)

    def log(step: int, metrics: Mapping[str, float]) -> None:
        session.record_log(info.name, step, metrics)

    train_stage(
        plan,
        model,
        base.tokenizer,
        pairs,
        directory=session.stage_directory(info.name),
        seed=config.seed,
        probe_steps=length.scheduled(config.probes.schedule),
        observe=StageObservers(probe, log, functools.partial(session.commit_log, info.name)),
        stop=stop,
    )


class StageProbing:
    """Scores one stage's probes, with what must last over its probe steps: the token budget, and the stage's start."""

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
        """Scores and, if asked for, token records after ``step`` updates; those of step 0 must be stored first."""
        if not self._per_token:
            return score_probes(model, self._examples, token_budget=self._budget, pad_id=self._pad_id), []
        start = self._start() if step > 0 else None
        return score_tokens(model, self._examples, token_budget=self._budget, pad_id=self._pad_id, start=start)


def stage_weights(stage: str, base: BaseModel, session: Session) -> PreTrainedModel:
    """A model of its own with the last weights of ``stage``, or of the base ("base")."""
    return start_weights(stage, base, session.stage_directory)
