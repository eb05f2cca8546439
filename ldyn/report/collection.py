"""The finished runs of a results page, by world and experiment, and their findings over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from ldyn.errors import RunDirectoryError
from ldyn.findings import findings_over_seeds
from ldyn.findings.sources import experiment_of, place_of
from ldyn.records import FindingOverSeeds
from ldyn.report.published import PublishedRun
from ldyn.store import PARTIAL_SUFFIX, Run, read_run
from ldyn.store.sweeps import FINISHED, job_states

IMPORTED = "import-logs"
REAL = ("hh", "hh_extend")
"""The experiments on a real pretrained model and real text; all others are of a generated world, or studies."""
MICROWORLD, REAL_MODEL = "microworld", "real model"

Experiments = Mapping[str, Sequence[Run]]


@dataclass(frozen=True)
class Results:
    """worlds: REAL_MODEL and MICROWORLD -> experiments, that is name -> finished runs by seed; those that have any.

    logs: name -> published logs. unfinished: names of runs.
    """

    worlds: Mapping[str, Experiments]
    logs: Mapping[str, PublishedRun]
    unfinished: Sequence[str]

    @property
    def experiments(self) -> Experiments:
        """Those of all worlds."""
        return dict(chain.from_iterable(experiments.items() for experiments in self.worlds.values()))

    @cached_property
    def findings(self) -> Mapping[str, Mapping[str, FindingOverSeeds]]:
        """World -> claim -> its finding over seeds, from the experiment that is declared for it."""
        found = {world: findings_over_seeds(experiments) for world, experiments in self.worlds.items()}
        return {world: {one.id: one for one in findings} for world, findings in found.items()}


def read_results(directories: Sequence[Path], logs: Mapping[str, PublishedRun]) -> Results:
    """The runs at most three levels below ``directories``. Raises RunDirectoryError where none has finished."""
    patterns = [f"{depth}/manifest.json" for depth in ("*", "*/*", "*/*/*")]
    found = {path.parent for directory in directories for pattern in patterns for path in directory.glob(pattern)}
    paths = sorted(path for path in found if not any(part.is_symlink() for part in (path, path.parent)))
    runs = [read_run(path) for path in paths if not path.name.endswith(PARTIAL_SUFFIX)]
    ours = [run for run in runs if run.manifest.get("name") != IMPORTED]
    if not ours:
        where = ", ".join(map(str, directories))
        raise RunDirectoryError(f"{where} holds no finished run. Make some with `ldyn reproduce`.")
    worlds: dict[str, dict[str, list[Run]]] = {REAL_MODEL: {}, MICROWORLD: {}}
    for run in sorted(ours, key=lambda run: (place_of(experiment_of(run)), seed_of_run(run))):
        world = REAL_MODEL if run.manifest.get("name") in REAL else MICROWORLD
        worlds[world].setdefault(experiment_of(run), []).append(run)
    imported = {run.path.name: PublishedRun.of_run(run) for run in runs if run.manifest.get("name") == IMPORTED}
    jobs = [job.run for directory in directories for job in job_states(directory) if job.state != FINISHED]
    partial = [f"{path.parent.name}/{path.name}" for path in paths if path.name.endswith(PARTIAL_SUFFIX)]
    unfinished = [*jobs, *(name.removesuffix(PARTIAL_SUFFIX) for name in partial if Path(name).stem not in jobs)]
    return Results({world: of for world, of in worlds.items() if of}, {**logs, **imported}, unfinished)


def seed_of_run(run: Run) -> int:
    """The run's seed; 0 where it has none."""
    return int(run.manifest.get("seed") or 0)


def seeds_of(runs: Sequence[Run]) -> str:
    """E.g. "0, 1, 2"."""
    return ", ".join(str(seed_of_run(run)) for run in runs)
