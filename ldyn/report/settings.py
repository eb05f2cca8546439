"""What ran, with which settings, and how to run it again, from the manifest and the resolved config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml

from ldyn.records import StageInfo
from ldyn.report.stages import stage_title
from ldyn.report.text import duration, scalar
from ldyn.store import Run

_STATUS_WORDS = {
    "running": "The run has not finished: the page shows what it had measured when the page was made.",
    "interrupted": "The run was interrupted: the page shows what was measured until then.",
    "failed": "The run failed: the page shows what was measured until then.",
}
_TABLES = {
    "Rows read, truncated and dropped": "counts",
    "Wall time": "seconds",
    "Versions": "versions",
    "Hashes": "hashes",
    "Code": "git",
    "Machine": "machine",
}


def what_ran(run: Run, evaluated: Sequence[StageInfo]) -> dict[str, Any]:
    """Experiment, model, data, seed, status, dates and the stages; ``warning``: of an unfinished run, or ""."""
    manifest = run.manifest
    status = str(manifest.get("status", "unknown"))
    measured = {stage.name for stage in evaluated}
    return {
        "name": str(manifest.get("name", run.path.name)),
        "run": str(manifest.get("run", run.path.name)),
        "status": status,
        "warning": _STATUS_WORDS.get(status, ""),
        "notes": [str(note) for note in manifest.get("notes") or []],
        "facts": [(name, scalar(value)) for name, value in _facts(run).items() if value not in (None, "")],
        "stages": [
            _stage_line(entry, stage, stage.name in measured)
            for entry, stage in zip(manifest["stages"], run.stages, strict=True)
        ],
    }


def settings_tables(manifest: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Counts of rows, wall times, versions, hashes: title and rows of each; empty groups are skipped."""
    groups = {title: dict(manifest.get(key) or {}) for title, key in _TABLES.items()}
    groups["Wall time"] = {name: duration(float(value)) for name, value in groups["Wall time"].items()}
    if (memory := manifest.get("peak_memory_mib")) is not None:
        groups["Machine"]["peak memory"] = f"{float(memory):,.0f} MiB"
    return [
        (title, [(str(name).replace("_", " "), scalar(value)) for name, value in group.items()])
        for title, group in groups.items()
        if group
    ]


def reproduce(run: Run) -> list[tuple[str, str]]:
    """Commands with what each is for."""
    git = run.manifest.get("git") or {}
    changed = " (the run had uncommitted changes on top of it)" if git.get("dirty") else ""
    steps = [(f"Take the same code{changed}", f"git checkout {git['commit']}")] if git.get("commit") else []
    if command := run.manifest.get("command"):
        steps.append(("Run the experiment", str(command)))
    directory = "/".join(run.path.parts[-3:]) if run.path.parent.parent.name == "outputs" else run.path.name
    return [*steps, ("Make this page again from the run's files", f"ldyn report {directory}")]


def _facts(run: Run) -> dict[str, Any]:
    manifest = run.manifest
    try:
        config = dict(yaml.safe_load(run.config_text) or {})
    except (yaml.YAMLError, ValueError, TypeError):
        config = {}
    started, finished = _time(manifest.get("started")), _time(manifest.get("finished"))
    seeds = manifest.get("seeds") or []
    return {
        "experiment": manifest.get("name"),
        "model": _chosen(config.get("model"), ("kind", "name_or_path")),
        "data": _chosen(config.get("dataset"), ("source", "path")),
        "seeds" if len(seeds) > 1 else "seed": seeds if len(seeds) > 1 else manifest.get("seed"),
        "status": manifest.get("status"),
        "started": f"{started:%Y-%m-%d %H:%M %Z}" if started else None,
        "finished": f"{finished:%Y-%m-%d %H:%M %Z}" if finished else None,
        "wall time": duration((finished - started).total_seconds()) if started and finished else None,
    }


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _chosen(section: object, keys: Sequence[str]) -> str:
    """The values of a config group that say what it is, such as the model's name or the data's path."""
    if not isinstance(section, Mapping):
        return str(section or "")
    return ", ".join(str(section[key]) for key in keys if section.get(key))


def _stage_line(entry: Mapping[str, Any], stage: StageInfo, measured: bool) -> dict[str, Any]:
    steps = f"{entry['steps']} steps" if entry.get("steps") is not None else ""
    rate = f"learning rate {stage.learning_rate:g}" if stage.learning_rate is not None else ""
    detail = ", ".join(filter(None, (steps, rate, scalar(entry.get("parameters") or ""))))
    title = stage_title(stage)
    return {"name": stage.name, "title": title, "start": stage.start, "detail": detail, "measured": measured}
