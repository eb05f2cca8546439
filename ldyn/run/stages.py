"""From the configured stages to trained ones: plans, start weights, the stage cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ldyn.algorithms import algorithm_of, algorithm_parameters
from ldyn.answers.rewards import Reward
from ldyn.config.schema import RunConfig
from ldyn.processes.group import from_main, in_main
from ldyn.processes.signals import StopRequest
from ldyn.records import EncodedPair, StageInfo
from ldyn.run.passes import PassProbes
from ldyn.run.probing import ScheduledProbes, StageProbes
from ldyn.run.rollouts import RolloutTable
from ldyn.run.session import Session
from ldyn.run.stage_cache import stage_cache, stage_key
from ldyn.training.checkpoints import final_directory, last_complete_checkpoint, start_weights
from ldyn.training.plan import StageLength, StagePlan
from ldyn.training.stage import train_stage

if TYPE_CHECKING:
    from ldyn.run.preparation import Prepared


def stage_plans(config: RunConfig) -> list[StagePlan]:
    """The stages of a validated config, in the order in which they run."""
    plans = []
    for name, stage in config.stages.items():
        algorithm, rate = algorithm_of(stage.algorithm), stage.trainer.learning_rate
        # A groupwise stage trains on the prompts alone.
        view, sampled = tuple(stage.view) if algorithm.kind != "groupwise" else (), stage.responses.sampled
        info = StageInfo(name, algorithm.name, algorithm.kind, view, stage.start, rate, sampled)
        parameters = algorithm_parameters(stage.algorithm)
        plans.append(StagePlan(info, algorithm, parameters, stage.trainer))
    return plans


def run_stage(
    plan: StagePlan,
    pairs: Sequence[EncodedPair],
    prepared: Prepared,
    config: RunConfig,
    session: Session,
    stop: StopRequest,
    rewards: Mapping[str, Reward],
) -> None:
    """Train one stage unless its final weights are there already or in the stage cache."""
    info, directory = plan.info, session.stage_directory(plan.info.name)
    length = StageLength.of(plan, len(pairs))
    if from_main(lambda: final_directory(directory).exists()):
        session.recall_stage(info, length.total_steps)
        return
    checkpoint = from_main(lambda: last_complete_checkpoint(directory))
    steps = length.scheduled(config.probes.schedule)
    tokenizer, model = prepared.base.tokenizer, start_weights(info.start, prepared.base, session.stage_directory)
    is_groupwise = plan.algorithm.kind == "groupwise"
    cache = None if is_groupwise else stage_cache(config)
    key = from_main(lambda: stage_key(plan, model, pairs, prepared, config) if cache else "")
    # A stage with snapshots or samples must make them itself; one that has a checkpoint continues from it.
    is_reusable = checkpoint is None and plan.trainer.snapshots is None and config.passes is None
    probes: list[ScheduledProbes] = [
        StageProbes(
            session,
            info.name,
            prepared.encoded,
            config.probes,
            pad_id=int(tokenizer.pad_token_id),
            steps=steps,
            step_of=partial(length.probe_step, info),
        )
    ]
    if config.passes is not None:
        probes.append(PassProbes(session, info, steps, config, prepared))
    table = RolloutTable(session)
    session.begin_stage(info, length.total_steps, after_step=checkpoint[1] if checkpoint else -1)
    with session.timed(info.name):
        if not (cache and is_reusable and from_main(lambda: cache.reuse(key, plan, steps, session))):
            train_stage(
                plan,
                model,
                tokenizer,
                table.rollouts(plan, rewards, prepared) if is_groupwise else pairs,
                directory=directory,
                seed=config.seed,
                stop=stop,
                callbacks=probes,
                before_saving=partial(commit, session, info.name, table),
            )
            if cache:
                in_main(lambda: cache.store(key, config.paths.run, info.name, steps))
    session.finish_stage(info)


def commit(session: Session, stage: str, table: RolloutTable) -> None:
    """Write what is kept in memory between checkpoints."""
    session.commit_log(stage)
    table.commit()
