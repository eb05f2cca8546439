"""Which runs are one experiment under several seeds: equal in every setting but the seed, and not copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import yaml

from ldyn.errors import RunDirectoryError
from ldyn.store import Run

# Settings in which runs of one experiment may differ: the seed, and what does not change what is measured.
_OF_ONE_RUN = ("seed", "run", "resume", "paths", "logger", "decompose.run")


def seed_of(run: Run) -> str:
    """E.g. "seed 1"; for a run without a seed (imported logs) the name of its directory."""
    seed = run.manifest.get("seed")
    return run.path.name if seed is None else f"seed {seed}"


def check_seeds(name: str, runs: Sequence[Run]) -> None:
    """Raise RunDirectoryError where the runs of experiment ``name`` are not the same under different seeds.

    All settings but the seed must be equal, the seeds different, and so must what was measured: equal numbers under
    different seeds mean that the seed reached nothing, or that a run is a copy.
    """
    faults = [fault for one, other in combinations(runs, 2) for fault in _faults(one, other)]
    if faults:
        expected = "expected runs that differ in their seed, and in what they measured, but in no other setting"
        raise RunDirectoryError(f"{name}: {expected}. Found: {'; '.join(faults)}. Remove the others.")


def by_setting(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs by setting, in their order; the keys say in what the settings differ, "" if there is only one."""
    settings = [settings_but_seed(run) for run in runs]
    keys = sorted({key for one in settings for key in one})
    differing = [key for key in keys if len({repr(one.get(key)) for one in settings}) > 1]
    groups: dict[str, list[Run]] = {}
    for run, own in zip(runs, settings, strict=True):
        groups.setdefault(", ".join(f"{key}={own.get(key)}" for key in differing), []).append(run)
    return groups


def _faults(one: Run, other: Run) -> Iterator[str]:
    names = f"{one.path.name} and {other.path.name}"
    mine, yours = settings_but_seed(one), settings_but_seed(other)
    for key in sorted({*mine, *yours}):
        if mine.get(key) != yours.get(key):
            yield f"{names} differ in {key} ({mine.get(key)}, {yours.get(key)})"
    if seed_of(one) == seed_of(other):
        yield f"{names} both have {seed_of(one)}"
    elif len(one.trajectories) and one.trajectories["logp"].equals(other.trajectories["logp"]):
        yield f"{names} measured the same numbers"


def settings_but_seed(run: Run) -> dict[str, Any]:
    """Dotted key -> value, without what may differ between runs of one experiment."""
    content = yaml.safe_load(run.config_text or "{}")
    flat = dict(_flat(content)) if isinstance(content, Mapping) else {}
    own = tuple(f"{key}." for key in _OF_ONE_RUN)
    return {key: value for key, value in flat.items() if not f"{key}.".startswith(own)}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
