"""The directory of a sweep: runs, and ``sweep.json`` with every job asked for; how far each job is."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ldyn.errors import RunDirectoryError
from ldyn.store.directory import is_being_written, partial_path
from ldyn.store.files import PARTIAL_SUFFIX, explained, write_atomically

SWEEP_FILE = "sweep.json"
SCHEMA_VERSION = 1
FINISHED, RUNNING, FAILED, STOPPED, ENDED, MISSING = "finished", "running", "failed", "stopped", "ended", "missing"
MEANINGS = {
    RUNNING: "is running",
    FAILED: "failed",
    STOPPED: "was stopped; on a cluster it may wait for its next start",
    ENDED: "is running on another machine, or was killed",
    MISSING: "has not started",
}


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
    from pydantic import TypeAdapter  # here: the command line reads key_of, and pydantic takes a while

    try:
        return TypeAdapter(Sweep).validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        advice = "Move it away: each run has its own config.yaml"
        raise RunDirectoryError(f"{path} cannot be read ({type(error).__name__}: {error}). {advice}.") from error


def run_directories(directory: Path) -> list[Path]:
    """The runs in ``directory``, finished or not, in the order of their numbers."""
    found = {path.parent for name in ("manifest.json", "config.yaml") for path in directory.glob(f"*/{name}")}
    return sorted((path for path in found if not path.is_symlink()), key=lambda path: (len(path.name), path.name))


def continue_command(directory: Path) -> str:
    """The command that runs what is missing of the sweep in ``directory``; "" where the sweep is not recorded."""
    said = [word for word in read_sweep(directory).arguments if key_of(word) not in ("resume", "hydra.sweep.dir")]
    if said[:1] == ["reproduce"]:
        return shlex.join(["ldyn", *said])
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


@dataclass(frozen=True)
class JobState:
    """How far the job of a ``run`` is: one of the states above. ``error``: how it ended, where anything is known."""

    run: str
    overrides: tuple[str, ...]
    state: str
    error: str = ""


def job_states(directory: Path) -> list[JobState]:
    """Every job of the sweep in ``directory``: those that ``sweep.json`` knows, then runs that it does not know."""
    known = {job.run: job.overrides for job in read_sweep(directory).jobs}
    others = [path.name.removesuffix(PARTIAL_SUFFIX) for path in run_directories(directory)]
    names = list(dict.fromkeys([*known, *others]))
    return [JobState(name, known.get(name, ()), *_state_of(directory / name)) for name in names]


def unfinished_lines(directory: Path, states: Sequence[JobState]) -> list[str]:
    """What has become of each job that has not finished, and the command that continues; nothing if all have."""
    unfinished = [state for state in states if state.state != FINISHED]
    if not unfinished:
        return []
    keys = swept_keys([settings_of(state.overrides) for state in states if state.overrides])
    command = continue_command(directory) or f"ldyn train resume={partial_path(directory / unfinished[0].run)}"
    return [*(_line(state, keys) for state in unfinished), f"Continue with: {command}"]


def _line(state: JobState, keys: Sequence[str]) -> str:
    settings = settings_of(state.overrides)
    varied = " ".join(f"{key}={settings[key]}" for key in keys if key in settings)
    what = f"job {state.run}{f' ({varied})' if varied else ''} {MEANINGS[state.state]}"
    return f"- {what}: {' '.join(state.error.split())}" if state.error else f"- {what}"


def _state_of(final: Path) -> tuple[str, str]:
    if final.is_dir():
        return FINISHED, ""
    partial = partial_path(final)
    if not partial.is_dir():
        return MISSING, ""
    if is_being_written(partial):
        return RUNNING, ""
    try:
        manifest = json.loads((partial / "manifest.json").read_text(encoding="utf-8"))
        state = {"failed": FAILED, "interrupted": STOPPED}.get(manifest["status"], ENDED)
        return state, str(manifest.get("error") or "")
    except (OSError, ValueError, LookupError, TypeError):  # killed before it wrote one, or damaged
        return ENDED, ""
