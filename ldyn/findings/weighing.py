"""What the runs of several seeds say together on one claim, before any correction for other claims.

A run counts if the stages of the claim reached their planned end and each part is a number from examples: a plain mean,
or a choice among means with an interval. Runs that do not count are named. The others are averaged (intervals.py), also
where a run alone is inconclusive, as excluding runs by their result would bias the mean. The claim is inconclusive
whatever the numbers say where

- fewer than MIN_SEEDS runs count;
- the runs measured different parts;
- more than half of the runs alone have a reason for no verdict (``Measurement.left_open``);
- a control contradicts: over the seeds by its own 95 % intervals, or within more than half of the runs.

A study has its own seeds; its result over them is used as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from ldyn.errors import RunDirectoryError
from ldyn.findings.claim import Measurement, contradict, verdict_and_reason
from ldyn.findings.intervals import MIN_SEEDS, interval_of_chosen_over_seeds
from ldyn.findings.parts import Part, joint_verdict


@dataclass(frozen=True)
class Alone:
    """A claim in the run of one seed. ``shortfalls``: its stages that stopped early."""

    seed: str
    measurement: Measurement
    shortfalls: Sequence[str]

    @property
    def verdict(self) -> str:
        """The verdict about this run."""
        return verdict_and_reason(self.measurement, self.shortfalls)[0]

    @property
    def why_not_counted(self) -> str:
        """Why it is not used over seeds; empty where it is."""
        missing = [part.interval.missing for part in self.measurement.parts if not _is_usable(part)]
        return "; ".join([*self.shortfalls, *missing[:1]])

    def __str__(self) -> str:
        return f"{self.seed} alone {self.measurement.parts[0].interval.estimate:+.3g}, {self.verdict}"


def _is_usable(part: Part) -> bool:
    """Without an interval a choice is not cross-fitted, and a bare mean may be of anything."""
    is_plain = part.measured is None and not part.is_bare_mean and isfinite(part.interval.estimate)
    return is_plain or not part.interval.missing


@dataclass(frozen=True)
class Weighed:
    """The parts over ``seeds`` seeds, the verdicts of each alone (None for a study), and reasons for no verdict.

    estimate: of the first part, whether or not it has an interval. notes: what a reader should know besides.
    """

    parts: Sequence[Part]
    estimate: float
    seeds: int
    alone: Counter[str] | None
    left_open: Sequence[str]
    notes: Sequence[str]

    @property
    def has_intervals(self) -> bool:
        """Whether every part has one, so that there is a p-value."""
        return bool(self.parts) and not any(part.interval.missing for part in self.parts)


def weigh(name: str, runs: Sequence[Alone]) -> Weighed:
    """Of the claim as the runs of experiment ``name`` measured it; ``runs`` has at least one."""
    studies = [run for run in runs if run.measurement.seeds > 1]
    if studies and len(runs) > 1:
        raise RunDirectoryError(f"{name}: found {len(runs)} runs of a study, expected 1, as a study has its own seeds.")
    return _weigh_study(studies[0].measurement) if studies else _weigh_seeds(runs)


def _weigh_study(study: Measurement) -> Weighed:
    shown = study.parts[0].interval
    notes = [f"a study of {study.seeds} seeds", *([study.note] if study.note else [])]
    return Weighed(study.parts, shown.estimate, study.seeds, None, [*_too_few(study.seeds), *study.left_open], notes)


def _weigh_seeds(runs: Sequence[Alone]) -> Weighed:
    counted = [run for run in runs if not run.why_not_counted]
    alike = len({_names(run.measurement.parts) for run in counted}) == 1
    parts = parts_over_seeds([run.measurement.parts for run in counted]) if alike else []
    estimate = float(np.mean([run.measurement.parts[0].interval.estimate for run in counted or runs]))
    left_open = [*_too_few(len(counted)), *(["the seeds measured different parts"] if counted and not alike else [])]
    notes = [f"{run.seed} is not used: {run.why_not_counted}" for run in runs if run.why_not_counted]
    if len(counted) < MIN_SEEDS:
        notes = [*map(str, counted), *notes]
    for unsettled in (_reasons_alone(counted), *(_controls(counted, parts) if alike else ())):
        (left_open if unsettled.by_most else notes).extend(unsettled.words)
    return Weighed(parts, estimate, len(counted), Counter(run.verdict for run in runs), left_open, notes)


def parts_over_seeds(of_each: Sequence[Sequence[Part]]) -> list[Part]:
    """The same parts as several seeds measured them, as parts over seeds: means of their numbers."""
    return [_over_seeds(parts) for parts in zip(*of_each, strict=True)]


def _over_seeds(parts: Sequence[Part]) -> Part:
    first = parts[0]
    estimates = [part.interval.estimate for part in parts]
    crossed = [part.interval.cross_fitted for part in parts]
    fitted = np.where(np.isfinite(crossed), crossed, estimates)
    measured = np.array([part.interval.estimate if part.measured is None else part.measured for part in parts])
    interval = interval_of_chosen_over_seeds(fitted, measured, first.bound)
    return replace(first, interval=interval, where="", measured=None)


def _names(parts: Sequence[Part]) -> tuple[tuple[str, str, float], ...]:
    return tuple((part.quantity, part.claimed, part.bound) for part in parts)


def _too_few(seeds: int) -> list[str]:
    return [f"only {seeds} usable seed{'s' * (seeds != 1)}, at least {MIN_SEEDS} are needed"] * (seeds < MIN_SEEDS)


@dataclass(frozen=True)
class _Unsettled:
    """What speaks against a verdict; ``by_most``: in so many runs that there is none."""

    by_most: bool
    words: Sequence[str]


def _reasons_alone(runs: Sequence[Alone]) -> _Unsettled:
    """Of the runs that have a reason of their own for no verdict."""
    unsettled = [run for run in runs if run.measurement.left_open]
    count = f"{len(unsettled)} of {len(runs)} seeds alone are inconclusive"
    words = [f"{count}: {run.seed} because {run.measurement.left_open[0]}" for run in unsettled[:1]]
    return _Unsettled(2 * len(unsettled) > len(runs), words)


def _controls(runs: Sequence[Alone], parts: Sequence[Part]) -> list[_Unsettled]:
    """Of each control arm, over the runs that have it."""
    arms = dict.fromkeys(arm for run in runs for arm in run.measurement.controls)
    return [_control(arm, [run.measurement for run in runs if arm in run.measurement.controls], parts) for arm in arms]


def _control(arm: str, measurements: Sequence[Measurement], parts: Sequence[Part]) -> _Unsettled:
    of_each = [measurement.controls[arm].parts for measurement in measurements]
    over = parts_over_seeds(of_each)
    against = sum(contradict(own.parts, control) for own, control in zip(measurements, of_each, strict=True))
    alone = f"contradicts in {against} of {len(measurements)} single seeds"
    most = 2 * against > len(measurements)
    return _Unsettled(contradict(parts, over) or most, [f"control {arm} {joint_verdict(over)} over seeds, {alone}"])
