"""What ran, with which settings, and how to run it again, from the manifest and the resolved config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ldyn.records import StageInfo
from ldyn.report.stages import stage_title
from ldyn.report.text import duration, elapsed, moment, scalar
from ldyn.store import Run

_STATUS_WORDS = {
    "running": "The run has not finished: the page shows what it had measured when the page was made.",
    "interrupted": "The run was interrupted: the page shows what was measured until then.",
    "failed": "The run failed: the page shows what was measured until then.",
}


def what_ran(run: Run, evaluated: Sequence[StageInfo]) -> dict[str, Any]:
    """Experiment, model, data, seed, status, dates and the stages; ``warning``: of an unfinished run, or ""."""
    manifest = run.manifest
    status = str(manifest.get("status", "unknown"))
    entries = zip(_stages(manifest), run.stages, strict=True)
    return {
        "name": str(manifest.get("name", run.path.name)),
        "run": str(manifest.get("run", run.path.name)),
        "status": status,
        "warning": _STATUS_WORDS.get(status, ""),
        "notes": [str(note) for note in manifest.get("notes") or []],
        "facts": _facts(run),
        "stages": [_stage_line(*pair, {stage.name for stage in evaluated}) for pair in entries],
    }


def settings_tables(manifest: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Counts of rows, wall times, versions, hashes: title and rows of each; empty groups are skipped."""
    seconds = [(name, duration(float(value))) for name, value in _mapping(manifest, "seconds").items()]
    memory = manifest.get("peak_memory_mib")
    machine = [("peak memory", f"{float(memory):,.0f} MiB")] if memory is not None else []
    tables = [
        ("Rows read, truncated and dropped", _pairs(manifest, "counts")),
        ("Wall time and memory", seconds + machine),
        ("Versions", _pairs(manifest, "versions")),
        ("Hashes and code", _pairs(manifest, "hashes") + _pairs(manifest, "git")),
        ("Machine", _pairs(manifest, "machine")),
    ]
    return [(title, rows) for title, rows in tables if rows]


def stage_settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of all stages side by side: names of stages, and for each setting its values ("–": none)."""
    columns = [_flat(entry) for entry in _stages(manifest)]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, [column.get(name, "–") for column in columns]) for name in names]
    return {"stages": [str(entry["name"]) for entry in _stages(manifest)], "rows": rows}


def reproduce(run: Run) -> list[tuple[str, str]]:
    """Commands with what each is for."""
    git = _mapping(run.manifest, "git")
    commit = git.get("commit")
    command = run.manifest.get("command")
    changed = " (the run had uncommitted changes on top of it)" if git.get("dirty") else ""
    steps = [(f"Take the same code{changed}", f"git checkout {commit}")] if commit else []
    if command:
        steps.append(("Run the experiment", command if isinstance(command, str) else " ".join(map(str, command))))
    directory = "/".join(run.path.parts[-3:]) if run.path.parent.parent.name == "outputs" else run.path.name
    steps.append(("Make this page again from the run's files", f"ldyn report {directory}"))
    return steps


def _facts(run: Run) -> list[tuple[str, str]]:
    manifest, config = run.manifest, _config(run.config_text)
    seeds = manifest.get("seeds") or []
    facts = [
        ("experiment", manifest.get("name")),
        ("model", _chosen(config, "model", ("name_or_path", "kind"))),
        ("data", _chosen(config, "dataset", ("path", "source")) or _chosen(config, "data", ("path", "source"))),
        ("seeds", seeds) if len(seeds) > 1 else ("seed", manifest.get("seed")),
        ("status", manifest.get("status")),
        ("started", moment(manifest["started"]) if manifest.get("started") else None),
        ("finished", moment(manifest["finished"]) if manifest.get("finished") else None),
        ("wall time", elapsed(manifest.get("started"), manifest.get("finished"))),
    ]
    return [(name, scalar(value)) for name, value in facts if value not in (None, "")]


def _chosen(config: Mapping[str, Any], group: str, keys: Sequence[str]) -> str:
    """The values of a config group that say what it is, such as the model's name or the data's path."""
    section = config.get(group)
    if not isinstance(section, Mapping):
        return "" if section is None else str(section)
    return ", ".join(str(section[key]) for key in reversed(keys) if section.get(key))


def _config(text: str) -> Mapping[str, Any]:
    """The resolved config, only to name model and data; empty where the text is not a mapping."""
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return config if isinstance(config, Mapping) else {}


def _stage_line(entry: Mapping[str, Any], stage: StageInfo, measured: set[str]) -> dict[str, Any]:
    steps = f"{entry['steps']} steps" if entry.get("steps") is not None else ""
    rate = f"learning rate {stage.learning_rate:g}" if stage.learning_rate is not None else ""
    detail = ", ".join(part for part in (steps, rate, scalar(entry.get("parameters") or "")) if part)
    line = {"name": stage.name, "title": stage_title(stage), "start": stage.start}
    return line | {"detail": detail, "measured": stage.name in measured}


def _stages(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(manifest.get("stages") or [])


def _mapping(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = manifest.get(name)
    return value if isinstance(value, Mapping) else {}


def _pairs(manifest: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    return [(key.replace("_", " "), scalar(value)) for key, value in _mapping(manifest, name).items()]


def _flat(entry: Mapping[str, Any]) -> dict[str, str]:
    """A stage's settings by name, with those of its algorithm and trainer."""
    settings: dict[str, str] = {}
    for key, value in entry.items():
        inner = value if isinstance(value, Mapping) else {key: value}
        settings |= {name.replace("_", " "): scalar(part) for name, part in inner.items() if name != "name"}
    return settings
