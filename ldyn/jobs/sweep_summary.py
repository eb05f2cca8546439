"""The end of a sweep: what has become of each job, and how to go on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus

from ldyn.errors import SweepError
from ldyn.jobs.sweep_plan import Plan
from ldyn.store.sweeps import FAILED, FINISHED, MISSING, JobState, job_states, unfinished_lines


def conclude_sweep(directory: Path, plan: Plan, returns: Sequence[JobReturn]) -> None:
    """Say where the results are; raises SweepError that lists the jobs which did not finish."""
    asked = {job.run for job in plan.jobs}
    answers = {job.run: answer for (job, _), answer in zip(plan.to_run, returns, strict=False)}
    states = [_completed(state, answers.get(state.run)) for state in job_states(directory) if state.run in asked]
    unfinished = sum(state.state != FINISHED for state in states)
    if unfinished:
        counted = f"{unfinished} of the {len(states)} jobs in {directory} have not finished:"
        raise SweepError("\n".join([counted, *unfinished_lines(directory, states)]))
    print(f"ldyn: all {len(states)} jobs have finished; compare them: ldyn report {directory}", file=sys.stderr)


def _completed(state: JobState, answer: JobReturn | None) -> JobState:
    """A job that failed before it had a directory has said why to its launcher only."""
    if state.error or answer is None or answer.status != JobStatus.FAILED:
        return state
    error = answer._return_value
    return replace(state, state=FAILED if state.state == MISSING else state.state, error=str(error))
