"""Decomposing updates: as the last part of a run, of a run that is finished, or of a model before any training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from ldyn.config.schema import DecomposeStudyConfig, RunConfig
from ldyn.errors import RunDirectoryError
from ldyn.processes.group import process_count
from ldyn.processes.quiet import quiet_libraries
from ldyn.records import TRAJECTORY_COLUMNS, EncodedPair
from ldyn.run.answering import drawn_pairs
from ldyn.run.preparation import Prepared, prepare
from ldyn.run.session import Session
from ldyn.run.stages import stage_plans
from ldyn.run.studies import Study, run_study
from ldyn.store import Run, read_run
from ldyn.theory.decomposition import decompose
from ldyn.theory.moments import Experiment, moments
from ldyn.training.stage import StagePlan


def decompose_run(config: RunConfig, plans: Sequence[StagePlan], prepared: Prepared, session: Session) -> None:
    """Decompose the updates of a run whose stages are trained; its tables go beside the trajectories.

    One process alone can take a stage's step again, so in a run of several this is left for later, and said.
    """
    assert config.decompose is not None
    if process_count() > 1:
        later = f"ldyn decompose decompose.run={config.paths.run}"
        _say(f"the run's updates are not decomposed, as {process_count()} processes made them together; later: {later}")
        return
    experiment = _experiment(config, plans, prepared, session.stage_directory)
    with session.timed("decomposition"):
        trajectories = read_run(session.path).trajectories
        found = decompose(experiment, moments(experiment, None, None), None, config.decompose, trajectories, _say)
        for name, table in found.items():
            session.directory.write_table(name, table)


def decompose_study(config: DecomposeStudyConfig) -> Run:
    """`ldyn decompose`: the same in a directory of its own, for the run, the moments and the pairs that were asked
    for.
    """
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
        chosen = moments(experiment, config.decompose.stages, config.decompose.steps)
        with study.timed("decomposition"):
            found = decompose(experiment, chosen, config.decompose.pairs, config.decompose, trajectories, _say)
        for name, table in found.items():
            study.write_table(name, table)

    return run_study(config, measure)


def _experiment(
    config: RunConfig, plans: Sequence[StagePlan], prepared: Prepared, stage_directory: Callable[[str], Path]
) -> Experiment:
    def pairs_of(plan: StagePlan) -> Sequence[EncodedPair]:
        if not plan.info.sampled:
            return prepared.pairs
        return prepared.answering.encoder.pairs(drawn_pairs(stage_directory(plan.info.name)))

    return Experiment(plans, prepared.base, pairs_of, prepared.encoded, stage_directory, config.seed)


def _finished_run(path: Path) -> Run:
    run = read_run(path)
    if not run.stages:
        raise RunDirectoryError(
            f"decompose.run: {run.path} is a study, which has no stages, expected the run of a training; give one, "
            "e.g. outputs/dpo_squeeze/latest."
        )
    return run


def _check_same(run: Run, hashes: Mapping[str, str]) -> None:
    """The stored configuration must make the data, probes and base that the run was trained with."""
    stored = run.manifest["hashes"]
    others = [name for name, value in hashes.items() if stored.get(name, value) != value]
    if others:
        raise RunDirectoryError(
            f"The configuration of {run.path} now makes another {' and another '.join(others)} than it was trained "
            "with, expected the same: the code, the packages or the input files have changed since; use those of the "
            "run (its manifest names them), or train it again."
        )


def _say(words: str) -> None:
    print(words, file=sys.stderr)
