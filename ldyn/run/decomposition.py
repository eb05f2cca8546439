"""Decompose updates: at the end of a run, of a finished run, or of a model before any training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ldyn.config.schema import DecomposeStudyConfig, RunConfig
from ldyn.errors import RunDirectoryError
from ldyn.processes.group import process_count, quiet_libraries
from ldyn.records import TRAJECTORY_COLUMNS, EncodedPair
from ldyn.run.answering import sampled_pairs
from ldyn.run.preparation import Prepared, prepare
from ldyn.run.session import Session
from ldyn.run.stages import stage_plans
from ldyn.run.studies import Study, run_study
from ldyn.store import Run, read_run
from ldyn.theory.decomposition import decompose
from ldyn.theory.updates import Experiment, kept_updates
from ldyn.training.plan import StagePlan


def decompose_run(config: RunConfig, plans: Sequence[StagePlan], prepared: Prepared, session: Session) -> None:
    """Decompose the updates of a run whose stages are trained; its tables go into the run directory.

    A single process repeats the steps of a stage, so a run of several processes prints the command for later instead.
    """
    assert config.decompose is not None
    if process_count() > 1:
        later = f"ldyn decompose decompose.run={config.paths.run}"
        _print(f"Updates made by {process_count()} processes are not decomposed within the run; afterwards: {later}")
        return
    experiment = _experiment(config, plans, prepared, session.stage_directory)
    with session.timed("decomposition"):
        trajectories = read_run(session.path).trajectories
        updates = kept_updates(experiment, None, None)
        for name, table in decompose(experiment, updates, None, config.decompose, trajectories, _print).items():
            session.directory.write_table(name, table)


def decompose_study(config: DecomposeStudyConfig) -> Run:
    """`ldyn decompose`: the same in a separate directory, for the configured run, steps and pairs."""
    quiet_libraries()
    source = None if config.decompose.run is None else _finished_run(config.decompose.run)
    trajectories = pd.DataFrame(columns=list(TRAJECTORY_COLUMNS)) if source is None else source.trajectories
    directory = config.paths.run if source is None else source.path

    def measure(study: Study) -> None:
        prepared = prepare(config.experiment, study.timed)
        study.describe(counts=prepared.counts, hashes=prepared.hashes)
        if source is not None:
            _check_same(source, prepared.hashes)
        plans = stage_plans(config.experiment)
        experiment = _experiment(config.experiment, plans, prepared, lambda stage: directory / "checkpoints" / stage)
        chosen = kept_updates(experiment, config.decompose.stages, config.decompose.steps)
        with study.timed("decomposition"):
            found = decompose(experiment, chosen, config.decompose.pairs, config.decompose, trajectories, _print)
        for name, table in found.items():
            study.write_table(name, table)

    return run_study(config, measure)


def _experiment(
    config: RunConfig, plans: Sequence[StagePlan], prepared: Prepared, stage_directory: Callable[[str], Path]
) -> Experiment:
    def pairs_of(plan: StagePlan) -> Sequence[EncodedPair]:
        if not plan.info.sampled:
            return prepared.pairs
        return prepared.answering.encoder.pairs(sampled_pairs(stage_directory(plan.info.name)))

    return Experiment(plans, prepared.base, pairs_of, prepared.encoded, stage_directory, config.seed)


def _finished_run(path: Path) -> Run:
    run = read_run(path)
    if not run.stages:
        raise RunDirectoryError(
            f"decompose.run: {run.path} has no stages; expected the directory of a training run, for example "
            "outputs/dpo_squeeze/latest."
        )
    return run


def _check_same(run: Run, hashes: Mapping[str, str]) -> None:
    stored = run.manifest["hashes"]
    others = [name for name, value in hashes.items() if stored.get(name, value) != value]
    if others:
        raise RunDirectoryError(
            f"The configuration of {run.path} no longer gives the same {' and '.join(others)}: the code, the packages, "
            "the cache or the input files changed. Use those of the run (see its manifest), or train it again."
        )


def _print(message: str) -> None:
    print(message, file=sys.stderr)
