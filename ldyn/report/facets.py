"""The runs of a sweep in groups that differ in nothing but their seed; and whether they can be compared at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ldyn.errors import RunFolderError
from ldyn.trajectories import Run
from ldyn.trajectories.sweeps import read_sweep, settings_of, swept_keys

OF_NO_WEIGHT = ("seed", "run", "resume", "paths", "logger")
"""Top-level settings that make no facet: the seed, and what decides nothing of the result."""


@dataclass(frozen=True)
class Facet:
    """Runs of one configuration but for the seed. ``settings``: swept key -> value; empty where this facet is all."""

    settings: Mapping[str, str]
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """The facet in words, e.g. "beta=0.05": of each key the last part, where that is not ambiguous."""
        last = [key.rpartition(".")[2] for key in self.settings]
        short = last if len(set(last)) == len(last) else list(self.settings)
        return ", ".join(f"{key}={value}" for key, value in zip(short, self.settings.values(), strict=True))


def facets_of(path: Path, runs: Sequence[Run]) -> list[Facet]:
    """The runs of the sweep in ``path`` by configuration, in the order of the swept values.

    Raises RunFolderError where the runs are not of one experiment and one world, or two of a facet have one seed.
    """
    _check_experiment(path, runs)
    _check_world(path, runs)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(yaml.safe_dump(_weighty(run)), []).append(run)
    names = _names(path, [group[0] for group in groups.values()])
    facets = [Facet(name, tuple(group)) for name, group in zip(names, groups.values(), strict=True)]
    for facet in facets:
        _check_seeds(path, facet)
    return sorted(facets, key=lambda facet: [_sortable(value) for value in facet.settings.values()])


def _check_experiment(path: Path, runs: Sequence[Run]) -> None:
    names = sorted({str(run.manifest["name"]) for run in runs})
    if len(names) > 1:
        raise RunFolderError(f"{path} holds runs of {', '.join(names)}; runs of one experiment can be compared.")


def _check_world(path: Path, runs: Sequence[Run]) -> None:
    """Of one world: the same data set settings, and with the same seed the same pairs and probes."""
    advice = "log-probabilities of other responses cannot be compared: keep runs of one world in a folder"
    settings = [_flat(_settings(run).get("dataset")) for run in runs]
    for key in sorted({key for one in settings for key in one}):
        if len({repr(one.get(key)) for one in settings}) > 1:
            found = ", ".join(f"{one.get(key)!r} in {run.path.name}" for one, run in zip(settings, runs, strict=True))
            raise RunFolderError(f"{path} holds runs of different worlds: dataset.{key} is {found}; {advice}.")
    data: dict[Any, Run] = {}
    for run in runs:
        other = data.setdefault(run.manifest["seed"], run)
        if _data_hash(other) != _data_hash(run):
            found = f"{other.path.name} and {run.path.name} have one seed and dataset, but not the same data"
            raise RunFolderError(f"{path} holds runs of different worlds: {found}; {advice}.")


def _check_seeds(path: Path, facet: Facet) -> None:
    seeds = Counter(f"seed {run.manifest['seed']}" for run in facet.runs)
    if twice := [seed for seed, count in seeds.items() if count > 1]:
        of_facet = f" with {facet.name}" if facet.name else ""
        raise RunFolderError(
            f"{path} holds more than one run of {', '.join(twice)}{of_facet}; keep one run of each seed in it."
        )


def _names(path: Path, runs: Sequence[Run]) -> list[dict[str, str]]:
    """What sets these runs apart, but for the seed: in the words of their command line, else of their settings."""
    typed = {job.run: job.overrides for job in read_sweep(path).jobs}
    if all(run.path.name in typed for run in runs):
        keys = [key for key in swept_keys([typed[run.path.name] for run in runs]) if key not in OF_NO_WEIGHT]
        named = [{key: settings_of(typed[run.path.name]).get(key, "–") for key in keys} for run in runs]
        if len({tuple(one.values()) for one in named}) == len(runs):
            return named
    flat = [_flat(_weighty(run)) for run in runs]
    keys = [
        key for key in dict.fromkeys(k for one in flat for k in one) if len({repr(one.get(key)) for one in flat}) > 1
    ]
    return [{key: str(one.get(key)) for key in keys} for one in flat]


def _weighty(run: Run) -> dict[str, Any]:
    return {key: value for key, value in _settings(run).items() if key not in OF_NO_WEIGHT}


def _settings(run: Run) -> dict[str, Any]:
    return dict(yaml.safe_load(run.config_text) or {})


def _data_hash(run: Run) -> Any:
    return run.manifest.get("hashes", {}).get("data")


def _flat(settings: Any) -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    return dict(_leaves(settings, ""))


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, f"{key}.{name}".lstrip("."))
    elif key:
        yield key, value


def _sortable(value: str) -> tuple[int, float, str]:
    """Numbers by size, before words."""
    try:
        return 0, float(value), ""
    except ValueError:
        return 1, 0.0, value
