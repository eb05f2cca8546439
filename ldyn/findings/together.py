"""What the runs of one directory say together: a sweep setting by setting, a reproduction part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ldyn.errors import RunDirectoryError
from ldyn.findings import depth_findings, findings_over_seeds
from ldyn.findings.claims_depth import differs_in_depth_alone
from ldyn.findings.seed_runs import by_setting
from ldyn.findings.sources import DEPTH_SERIES, DEPTHS, experiment_of, place_of
from ldyn.records import FindingOverSeeds
from ldyn.store import Run


@dataclass(frozen=True)
class OverSeeds:
    """Findings over the finished ``runs`` of one setting, or of one part, in the directory ``path``.

    setting: in what they differ from the directory's other runs besides the seed, "" where there are no others; of a
    reproduction the name of the part.
    error: why they cannot be judged together; there are then no findings.
    """

    path: Path
    setting: str
    runs: Sequence[str]
    findings: Sequence[FindingOverSeeds]
    error: str | None = None


def by_experiment(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs by experiment, or by part of a reproduction, in the order of a page."""
    parts: dict[str, list[Run]] = {}
    for run in runs:
        parts.setdefault(experiment_of(run), []).append(run)
    return {name: parts[name] for name in sorted(parts, key=place_of)}


def judge_together(path: Path, runs: Sequence[Run]) -> list[OverSeeds]:
    """The findings over seeds of the finished ``runs`` in ``path``.

    Parts of a reproduction: each claim is judged from the part that is declared for it. Other runs: each setting is
    judged by itself, and several depths of y⁻ also together.
    """
    parts, settings = by_experiment(runs), by_setting(runs)
    if len(parts) > 1 and all(len(by_setting(own)) == 1 for own in parts.values()):
        return _of_parts(path, parts)
    found = [_judged(path, setting, own) for setting, own in settings.items()]
    if differs_in_depth_alone([own[0] for own in settings.values()]):
        found.append(OverSeeds(path, DEPTH_SERIES, _names(runs), depth_findings(runs)))
    return found


def _of_parts(path: Path, parts: Mapping[str, Sequence[Run]]) -> list[OverSeeds]:
    try:
        findings = findings_over_seeds(parts)
    except RunDirectoryError as error:
        return [OverSeeds(path, "", [name for own in parts.values() for name in _names(own)], [], str(error))]
    series = {DEPTH_SERIES: [run for name in DEPTHS for run in parts.get(name, ())]}
    return [
        OverSeeds(path, name, _names(own), judged)
        for name, own in {**parts, **series}.items()
        if (judged := [one for one in findings if one.source == name])
    ]


def _judged(path: Path, setting: str, runs: Sequence[Run]) -> OverSeeds:
    try:
        return OverSeeds(path, setting, _names(runs), findings_over_seeds({experiment_of(runs[0]): runs}))
    except RunDirectoryError as error:
        return OverSeeds(path, setting, _names(runs), [], str(error))


def _names(runs: Sequence[Run]) -> list[str]:
    return [run.path.name for run in runs]
