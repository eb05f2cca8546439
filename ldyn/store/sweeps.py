"""The directory of a sweep: runs, and ``sweep.json``, which says what jobs were asked for, also those that never
began.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ldyn.errors import RunDirectoryError
from ldyn.store.files import explained, write_atomically

SWEEP_FILE = "sweep.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class SweepJob:
    """One job. ``run``: the name of its directory; ``overrides``: its settings, as they are typed.

    fingerprint: of all settings that decide its result; two jobs with the same one are the same run.
    """

    run: str
    overrides: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class Sweep:
    """What ``sweep.json`` holds. ``arguments``: the words after `ldyn train` that asked for jobs, the last time."""

    arguments: tuple[str, ...]
    jobs: tuple[SweepJob, ...]


def write_sweep(directory: Path, sweep: Sweep) -> None:
    """Write ``sweep.json``, in place of the one that is there."""
    with explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
    content = {"schema_version": SCHEMA_VERSION, **asdict(sweep)}
    write_atomically(directory / SWEEP_FILE, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def read_sweep(directory: Path) -> Sweep:
    """What is known of the sweep in ``directory``; nothing where there is no ``sweep.json``."""
    path = directory / SWEEP_FILE
    if not path.exists():
        return Sweep((), ())
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        jobs = tuple(SweepJob(job["run"], tuple(job["overrides"]), job["fingerprint"]) for job in content["jobs"])
        return Sweep(tuple(content["arguments"]), jobs)
    except (OSError, ValueError, KeyError, TypeError) as error:
        advice = "move it away: the runs beside it say themselves what they are"
        raise RunDirectoryError(f"{path} cannot be read ({type(error).__name__}: {error}); {advice}.") from error


def run_directories(directory: Path) -> list[Path]:
    """The runs in ``directory``, finished or not, in the order of their numbers."""
    found = {path.parent for name in ("manifest.json", "config.yaml") for path in directory.glob(f"*/{name}")}
    return sorted((path for path in found if not path.is_symlink()), key=lambda path: (len(path.name), path.name))


def go_on_command(directory: Path) -> str:
    """The command that runs what is missing of the sweep in ``directory``; "" where the sweep is not recorded."""
    said = [word for word in read_sweep(directory).arguments if key_of(word) not in ("resume", "hydra.sweep.dir")]
    return shlex.join(["ldyn", "train", *said, "resume=auto", f"hydra.sweep.dir={directory}"]) if said else ""


def swept_keys(settings: Sequence[Mapping[str, object]]) -> list[str]:
    """The keys in which jobs, given by their settings, differ."""
    keys = dict.fromkeys(key for one in settings for key in one)
    return [key for key in keys if len({repr(one.get(key)) for one in settings}) > 1]


def settings_of(overrides: Sequence[str]) -> dict[str, str]:
    """Key -> value, as typed."""
    return {key_of(override): override.partition("=")[2] for override in overrides}


def key_of(override: str) -> str:
    """What an override sets, without the plus of an addition."""
    return override.lstrip("+~").partition("=")[0]
