"""One experiment, top to bottom: data, base model, probes, stages, samples, win rates, findings, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ldyn.algorithms.coefficients import check_loss
from ldyn.config.schema import RunConfig
from ldyn.data.sources import pinned_dataset
from ldyn.models.pretrained import pinned_model
from ldyn.models.settings import PretrainedConfig, TinyConfig
from ldyn.processes.group import (
    from_main,
    in_main,
    join_processes,
    lost_processes_explained,
    main_alone,
    quiet_libraries,
)
from ldyn.processes.signals import StopRequest
from ldyn.run.answering import training_pairs, write_samples
from ldyn.run.base_check import note_weak_base
from ldyn.run.decomposition import decompose_run
from ldyn.run.preparation import Prepared, prepare
from ldyn.run.rollouts import checked_rewards
from ldyn.run.session import Session, describe_stage, open_session
from ldyn.run.stages import run_stage, stage_plans
from ldyn.run.win_rates import check_judges, write_win_rates
from ldyn.tracking import make_observer
from ldyn.training.memory import check_memory
from ldyn.training.plan import StageLength, StagePlan
from ldyn.training.stage import tokens_of_a_pass


def run(config: RunConfig) -> Path:
    """Run the experiment, or what is left of it, and return the directory of the finished run.

    Several processes run this together; the main one alone writes, and makes what is made once.
    """
    join_processes()
    # Each launched process has its own configuration, with another time in the run's name and none of the commit.
    config = from_main(
        lambda: replace(config, dataset=pinned_dataset(config.dataset), model=pinned_model(config.model))
    )
    quiet_libraries()
    plans = stage_plans(config)
    with StopRequest() as stop, open_session(config, plans) as session, lost_processes_explained():
        check_judges(config)
        for plan in plans:
            check_loss(plan.algorithm, plan.parameters)
        if isinstance(config.model, PretrainedConfig):
            in_main(partial(check_memory, config.model, config.trainer, tokens_of_a_pass(config.trainer)))
        prepared = prepare(config, session.timed)
        session.check_same_inputs(prepared.hashes)
        session.manifest.update(
            stages=[describe_stage(plan, StageLength.of(plan, len(prepared.pairs)).total_steps) for plan in plans],
            hashes=prepared.hashes,
            counts=prepared.counts,
        )
        if isinstance(config.model, TinyConfig):
            note_weak_base(config.model, prepared, session)
        rewards = checked_rewards(plans, prepared)
        session.observe(lambda: make_observer(config.logger, session.path, config.name))
        for plan in plans:
            pairs = training_pairs(plan, config, prepared, session)
            run_stage(plan, pairs, prepared, config, session, stop, rewards)
        with main_alone() as is_main:
            if is_main:
                evaluate(config, plans, prepared, session)
    return session.publish()


def evaluate(config: RunConfig, plans: Sequence[StagePlan], prepared: Prepared, session: Session) -> None:
    """What follows the last stage: samples and, if configured, win rates and decomposition; findings and report."""
    with session.timed("samples"):
        write_samples(plans, prepared, session)
    if config.wins is not None:
        with session.timed("win rates"):
            write_win_rates(config, plans, prepared, session)
    if config.decompose is not None:
        decompose_run(config, plans, prepared, session)
    session.conclude(with_report=config.report)
