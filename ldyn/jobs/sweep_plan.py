"""Which jobs of a sweep are to run, and where: new ones, and with `resume=auto` what is missing of those before."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ldyn.config.groups import quoted
from ldyn.config.jobs import fingerprint
from ldyn.config.schema import RunConfig
from ldyn.errors import ConfigError, LdynError
from ldyn.store.directory import partial_path
from ldyn.store.files import PARTIAL_SUFFIX
from ldyn.store.sweeps import (
    FINISHED,
    RUNNING,
    Sweep,
    SweepJob,
    job_states,
    read_sweep,
    run_directories,
    settings_of,
    swept_keys,
)

Wanted = tuple[Sequence[str], RunConfig]


@dataclass(frozen=True)
class Plan:
    """``jobs``: all that were asked for; ``to_run``: those of them that have work left, each with what it resumes."""

    jobs: tuple[SweepJob, ...]
    to_run: tuple[tuple[SweepJob, Path | None], ...]
    sweep: Sweep

    def launched_with(self) -> list[list[str]]:
        """The overrides of each job to run, with the name of its run and what it resumes."""
        return [
            [*job.overrides, f"run={job.run}", *([f"resume={quoted(str(resume))}"] if resume else [])]
            for job, resume in self.to_run
        ]

    def in_words(self) -> str:
        going_on = sum(resume is not None for _, resume in self.to_run)
        parts = {
            "new": len(self.to_run) - going_on,
            "to go on": going_on,
            "finished": len(self.jobs) - len(self.to_run),
        }
        return f"{len(self.jobs)} jobs: " + ", ".join(f"{n} {what}" for what, n in parts.items() if n)


def plan_sweep(
    directory: Path, wanted: Sequence[Wanted], arguments: Sequence[str], *, auto: bool, names: Sequence[str] = ()
) -> Plan:
    """Compare the jobs ``wanted`` (overrides, configuration) with what is in ``directory``, by their configurations.

    Raises ConfigError for jobs that are asked for twice, and where the directory holds runs but ``auto`` is not given;
    LdynError where one of the jobs is running.
    """
    marks = [fingerprint(config) for _, config in wanted]
    twice = [" ".join(job[0]) for job, mark in zip(wanted, marks, strict=True) if marks.count(mark) > 1]
    if twice:
        raise ConfigError([f"found jobs that are the same run: {'; '.join(twice)}; expected each once"])
    if not auto and run_directories(directory):
        found = f"found {len(run_directories(directory))} runs in {directory}"
        raise ConfigError(
            [f"hydra.sweep.dir: {found}; add resume=auto to run what is missing of them, or choose another directory"]
        )
    before = read_sweep(directory)
    jobs = tuple(_named(directory, before, wanted, marks, names))
    states = {job.run: job.state for job in job_states(directory)}
    running = [job.run for job in jobs if states.get(job.run) == RUNNING]
    if running:
        raise LdynError(f"Jobs {', '.join(running)} of {directory} are running; wait for them, or stop them first.")
    to_run = tuple((job, _stored_part(directory / job.run)) for job in jobs if states.get(job.run) != FINISHED)
    kept = [job for job in before.jobs if job.run not in {new.run for new in jobs}]
    known = sorted([*kept, *jobs], key=lambda job: (len(job.run), job.run))
    return Plan(jobs, to_run, Sweep(tuple(arguments), tuple(known)))


def name_after_sweep(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Fill in ``logger.group`` and ``logger.run_name`` of a sweep's job where they are left open.

    ``overrides``: those of this job, as Hydra gives them. What differs is known from the plan of the sweep.
    """
    directory = Path(str(composed.paths.run)).parent
    own, jobs = settings_of(overrides), [settings_of(job.overrides) for job in read_sweep(directory).jobs]
    name = ", ".join(f"{key}={own[key]}" for key in swept_keys(jobs) if key in own)
    for key, value in (("logger.group", directory.name), ("logger.run_name", name or None)):
        if OmegaConf.select(composed, key) is None:
            OmegaConf.update(composed, key, value, force_add=True)


def _named(
    directory: Path, before: Sweep, wanted: Sequence[Wanted], marks: Sequence[str], given: Sequence[str]
) -> Iterator[SweepJob]:
    names = {job.fingerprint: job.run for job in before.jobs}
    taken = {*names.values(), *(path.name.removesuffix(PARTIAL_SUFFIX) for path in run_directories(directory))}
    free = (str(number) for number in itertools.count() if str(number) not in taken)
    for number, ((overrides, _), mark) in enumerate(zip(wanted, marks, strict=True)):
        name = names.get(mark) or (given[number] if given else next(free))
        yield SweepJob(name, tuple(overrides), mark)


def _stored_part(final: Path) -> Path | None:
    partial = partial_path(final)
    return partial.absolute() if (partial / "config.yaml").is_file() else None
