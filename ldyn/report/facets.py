"""The runs of a sweep in groups that differ only in their seed, and whether they can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldyn.errors import RunDirectoryError
from ldyn.findings.claims_depth import SETTING as DEPTH
from ldyn.findings.seed_runs import by_setting, settings_but_seed
from ldyn.store import Run
from ldyn.store.sweeps import read_sweep, settings_of, swept_keys


@dataclass(frozen=True)
class Facet:
    """Runs of one configuration but for the seed. ``settings``: swept key -> value; empty where this facet is all."""

    settings: Mapping[str, str]
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """E.g. "beta=0.05": of each key the last part, unless that is ambiguous."""
        last = [key.rpartition(".")[2] for key in self.settings]
        short = last if len(set(last)) == len(last) else list(self.settings)
        return ", ".join(f"{key}={value}" for key, value in zip(short, self.settings.values(), strict=True))


def facets_of(path: Path, runs: Sequence[Run]) -> list[Facet]:
    """The runs of the sweep in ``path`` by configuration, in the order of the swept values.

    Raises RunDirectoryError where the runs are not of one world, or two of a facet have one seed.
    """
    _check_world(path, runs)
    groups = list(by_setting(runs).values())
    names = _names(path, [group[0] for group in groups])
    facets = [Facet(name, tuple(group)) for name, group in zip(names, groups, strict=True)]
    for facet in facets:
        seeds = Counter(f"seed {run.manifest.get('seed')}" for run in facet.runs)
        if twice := [seed for seed, count in seeds.items() if count > 1]:
            which = f" with {facet.name}" if facet.name else ""
            raise RunDirectoryError(
                f"{path} holds more than one run of {', '.join(twice)}{which}; keep one run of each seed in it."
            )
    return sorted(facets, key=lambda facet: [_sortable(value) for value in facet.settings.values()])


def _check_world(path: Path, runs: Sequence[Run]) -> None:
    """Of one world: the same data set settings, and with the same seed the same pairs and probes.

    Runs at several depths of y⁻ have the same world, questions and y⁺.
    """
    advice = "log-probabilities of other responses cannot be compared: keep runs of one world in a directory"
    settings = [settings_but_seed(run) for run in runs]
    for key in sorted({key for one in settings for key in one if key.startswith("dataset.")} - {DEPTH}):
        if len({repr(one.get(key)) for one in settings}) > 1:
            found = ", ".join(f"{one.get(key)!r} in {run.path.name}" for one, run in zip(settings, runs, strict=True))
            raise RunDirectoryError(f"{path} holds runs of different worlds: {key} is {found}; {advice}.")
    data: dict[Any, Run] = {}
    for run, own in zip(runs, settings, strict=True):
        other = data.setdefault((run.manifest.get("seed"), repr(own.get(DEPTH))), run)
        if _data_hash(other) != _data_hash(run):
            found = f"{other.path.name} and {run.path.name} have one seed and dataset, but not the same data"
            raise RunDirectoryError(f"{path} holds runs of different worlds: {found}; {advice}.")


def _names(path: Path, runs: Sequence[Run]) -> list[dict[str, str]]:
    """The settings in which these runs differ besides the seed, as typed or else from their configurations."""
    settings = [settings_but_seed(run) for run in runs]
    typed = {job.run: settings_of(job.overrides) for job in read_sweep(path).jobs}
    own = [typed.get(run.path.name, {}) for run in runs]
    keys = [key for key in swept_keys(own) if key.partition(".")[0] not in ("seed", "logger", "paths")]
    if len(runs) == len({tuple(one.get(key) for key in keys) for one in own}):
        return [{key: one.get(key, "–") for key in keys} for one in own]
    return [{key: str(one.get(key)) for key in swept_keys(settings)} for one in settings]


def _data_hash(run: Run) -> Any:
    return run.manifest.get("hashes", {}).get("data")


def _sortable(value: str) -> tuple[int, float, str]:
    """Numbers by size, before words; a list by its first number."""
    try:
        return 0, float(value.strip("[]").partition(",")[0]), value
    except ValueError:
        return 1, 0.0, value
