"""What ran, and how to run it again, from the manifest and the resolved configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    """Experiment, seeds, status, times, and how many rows were read or dropped, where they are known."""
    manifest = run.manifest
    counts = dict(manifest.get("counts") or {})
    found = {
        "experiment": manifest.get("name"),
        "seed": ", ".join(map(str, manifest.get("seeds") or [manifest.get("seed")])),
        **{name: manifest.get(name) for name in ("status", "started", "finished")},
        "counts": ", ".join(f"{str(name).replace('_', ' ')} {count}" for name, count in counts.items()),
    }
    return {name: str(value) for name, value in found.items() if value not in (None, "")}


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
