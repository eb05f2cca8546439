"""How far each job of a sweep is, read from its directory, and the list of those that have not finished."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldyn.store.directory import PARTIAL_SUFFIX, is_being_written, partial_path
from ldyn.store.sweeps import go_on_command, read_sweep, run_directories, settings_of, swept_keys

FINISHED, RUNNING, FAILED, STOPPED, ENDED, MISSING = "finished", "running", "failed", "stopped", "ended", "missing"
MEANINGS = {
    RUNNING: "is running",
    FAILED: "failed",
    STOPPED: "was stopped; on a cluster it may wait for its next start",
    ENDED: "is running elsewhere, or ended without a word (killed)",
    MISSING: "has not begun",
}


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
    """What has become of each job that has not finished, and the command that goes on; nothing if all have."""
    unfinished = [state for state in states if state.state != FINISHED]
    if not unfinished:
        return []
    keys = swept_keys([settings_of(state.overrides) for state in states if state.overrides])
    command = go_on_command(directory) or f"ldyn train resume={partial_path(directory / unfinished[0].run)}"
    return [*(_line(state, keys) for state in unfinished), f"Go on with: {command}"]


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
    manifest = _manifest(partial)
    states = {"failed": FAILED, "interrupted": STOPPED}
    return states.get(manifest.get("status", ""), ENDED), str(manifest.get("error") or "")


def _manifest(directory: Path) -> dict[str, Any]:
    """What the manifest says; nothing where the run was killed before it wrote one."""
    try:
        content: dict[str, Any] = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content
