"""What ran, and how to run it again, from the manifest and the resolved configuration."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import yaml

from ldyn.records import StageInfo
from ldyn.report.stages import stage_title
from ldyn.store import Run
from ldyn.store.directory import final_path

WARNINGS = {
    "running": "The run has not finished: the page shows what it had measured when the page was made.",
    "interrupted": "The run was interrupted: the page shows what was measured until then.",
    "failed": "The run failed: the page shows what was measured until then.",
}


def facts(run: Run) -> dict[str, str]:
    """Experiment, model, data, seeds, status, times, and how many rows were read or dropped, where they are known."""
    manifest, config = run.manifest, {}
    with suppress(yaml.YAMLError, ValueError, TypeError):
        config = dict(yaml.safe_load(run.config_text) or {})
    started, finished = _time(manifest.get("started")), _time(manifest.get("finished"))
    seconds = round((finished - started).total_seconds()) if started and finished else None
    counts = dict(manifest.get("counts") or {})
    found = {
        "experiment": manifest.get("name"),
        "model": _chosen(config.get("model"), "kind", "name_or_path"),
        "data": _chosen(config.get("dataset"), "source", "path"),
        "seed": ", ".join(map(str, manifest.get("seeds") or [manifest.get("seed")])),
        "status": manifest.get("status"),
        "started": f"{started:%Y-%m-%d %H:%M %Z}" if started else None,
        "finished": f"{finished:%Y-%m-%d %H:%M %Z}" if finished else None,
        "wall time": None if seconds is None else timedelta(seconds=seconds),
        "counts": ", ".join(f"{str(name).replace('_', ' ')} {count}" for name, count in counts.items()),
    }
    return {name: str(value) for name, value in found.items() if value not in (None, "")}


def _time(text: object) -> datetime | None:
    with suppress(ValueError):
        return datetime.fromisoformat(str(text))
    return None


def _chosen(section: object, *keys: str) -> str:
    """The values of a config group that say what it is, such as the model's name or the data's path."""
    values = section if isinstance(section, Mapping) else {}
    return ", ".join(str(values[key]) for key in keys if values.get(key))


def stage_lines(run: Run, measured: set[str]) -> list[dict[str, Any]]:
    """One line for each stage; ``measured``: the names of those in which a probe was scored."""
    return [
        {
            "title": stage_title(stage),
            "stage": stage,
            "detail": _detail(entry, stage),
            "measured": stage.name in measured,
        }
        for entry, stage in zip(run.manifest["stages"], run.stages, strict=True)
    ]


def _detail(entry: Mapping[str, Any], stage: StageInfo) -> str:
    steps = f"{entry['steps']} steps" if entry.get("steps") is not None else ""
    rate = f"learning rate {stage.learning_rate:g}" if stage.learning_rate is not None else ""
    parameters = (f"{name} {value}" for name, value in dict(entry.get("parameters") or {}).items())
    return ", ".join(filter(None, (steps, rate, *parameters)))


def commands(run: Run) -> list[tuple[str, str]]:
    """Commands that make the run and this page again, with what each is for."""
    git = run.manifest.get("git") or {}
    changed = " (the run had uncommitted changes on top of it)" if git.get("dirty") else ""
    steps = [(f"Take the same code{changed}", f"git checkout {git['commit']}")] if git.get("commit") else []
    if command := run.manifest.get("command"):
        steps.append(("Run the experiment", str(command)))
    final = final_path(run.path)  # the page is made before the run gets its final name
    directory = "/".join(final.parts[-3:]) if final.parent.parent.name == "outputs" else final.name
    return [*steps, ("Make this page again from the run's files", f"ldyn report {directory}")]
