"""One experiment, top to bottom: data, base model, probes, stages, samples, contests, findings, report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ldyn.config.schema import RunConfig
from ldyn.data.sources import pinned_dataset
from ldyn.processes.group import from_main, join_processes, losses_explained, main_alone
from ldyn.processes.quiet import quiet_libraries
from ldyn.processes.signals import StopRequest
from ldyn.run.answering import training_pairs, write_samples
from ldyn.run.decomposition import decompose_run
from ldyn.run.preparation import prepare
from ldyn.run.session import describe_stage, open_session
from ldyn.run.stages import run_stage, stage_plans
from ldyn.run.win_rates import check_judges, hold_contests
from ldyn.training.stage import StageLength


def run(config: RunConfig) -> Path:
    """Run the experiment, or what is left of it, and return the directory of the finished run.

    Several processes run this together; the main one alone writes, and makes what is made once.
    """
    join_processes()
    # Each launched process has its own configuration, with another time in the run's name and none of the commit.
    config = from_main(lambda: replace(config, dataset=pinned_dataset(config.dataset)))
    quiet_libraries()
    plans = stage_plans(config)
    with StopRequest() as stop, open_session(config, plans) as session, losses_explained():
        check_judges(config)
        prepared = prepare(config, session.timed)
        session.check_same_data(prepared.hashes)
        session.describe(
            stages=[describe_stage(plan, StageLength.of(plan, len(prepared.pairs)).total_steps) for plan in plans],
            hashes=prepared.hashes,
            counts=prepared.counts,
        )
        for plan in plans:
            responses = config.stages[plan.info.name].responses
            pairs = training_pairs(plan, responses, prepared.data.pairs, prepared.base, prepared.answering, session)
            run_stage(plan, prepared.base, pairs, prepared.encoded, config, session, stop)
        with main_alone() as is_main:
            if is_main:
                with session.timed("samples"):
                    write_samples(plans, prepared.base, prepared.probes, prepared.answering, session)
                if config.wins is not None:
                    with session.timed("contests"):
                        hold_contests(config, plans, prepared, session)
                if config.decompose is not None:
                    decompose_run(config, plans, prepared, session)
                session.conclude(with_report=config.report)
    return session.publish()
