"""What ran, with which settings, and how to run it again: from the manifest and the resolved config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ldyn.records import StageInfo
from ldyn.report.chains import chain_title, find_chains, stage_title
from ldyn.report.sections.text import duration, elapsed, moment, scalar
from ldyn.store import Run

_STATUS_WORDS = {
    "running": "The run has not finished: the page shows what it had measured when the page was made.",
    "interrupted": "The run was interrupted: the page shows what had been measured until then.",
    "failed": "The run failed: the page shows what had been measured until then.",
}


@dataclass(frozen=True, slots=True)
class StageLine:
    """A stage in words. detail: steps and parameters; measured: whether its probes were scored at least once."""

    name: str
    title: str
    start: str
    detail: str
    measured: bool


@dataclass(frozen=True, slots=True)
class RunHead:
    """What the page's head and first section say. warning: a sentence where the run is not finished, or "".

    notes: what a reader must know of the numbers; imported runs have some.
    """

    name: str
    run: str
    status: str
    warning: str
    notes: list[str]
    facts: list[tuple[str, str]]
    stages: list[StageLine]
    chains: list[str]


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    rows: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class StageSettings:
    """One column for each stage; rows: a setting with its value in each of them, "–" where a stage has none."""

    stages: list[str]
    rows: list[tuple[str, list[str]]]


def what_ran(run: Run, evaluated: Sequence[StageInfo]) -> RunHead:
    """Experiment, model, data, seed, status, dates and the stages."""
    manifest = run.manifest
    status = str(manifest.get("status", "unknown"))
    measured = {stage.name for stage in evaluated}
    return RunHead(
        name=str(manifest.get("name", run.path.name)),
        run=str(manifest.get("run", run.path.name)),
        status=status,
        warning=_STATUS_WORDS.get(status, ""),
        notes=[str(note) for note in manifest.get("notes") or []],
        facts=_facts(run),
        stages=[_stage_line(*pair, measured) for pair in zip(_stages(manifest), run.stages, strict=True)],
        chains=[chain_title(chain) for chain in find_chains(run.stages)],
    )


def settings_tables(manifest: Mapping[str, Any]) -> list[Table]:
    """Counts of rows, wall times, versions, hashes; groups that the manifest lacks are left out."""
    seconds = [(name, duration(float(value))) for name, value in _mapping(manifest, "seconds").items()]
    memory = manifest.get("peak_memory_mib")
    machine = [("peak memory", f"{float(memory):,.0f} MiB")] if memory is not None else []
    tables = [
        Table("Rows read, truncated and dropped", _pairs(manifest, "counts")),
        Table("Wall time and memory", seconds + machine),
        Table("Versions", _pairs(manifest, "versions")),
        Table("Hashes and code", _pairs(manifest, "hashes") + _pairs(manifest, "git")),
        Table("Machine", _pairs(manifest, "machine")),
    ]
    return [table for table in tables if table.rows]


def stage_settings(manifest: Mapping[str, Any]) -> StageSettings:
    """The manifest's settings of all stages side by side."""
    columns = [_flat(entry) for entry in _stages(manifest)]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, [column.get(name, "–") for column in columns]) for name in names]
    return StageSettings([str(entry["name"]) for entry in _stages(manifest)], rows)


def reproduce(run: Run) -> list[tuple[str, str]]:
    """Commands with what each is for."""
    git = _mapping(run.manifest, "git")
    commit = git.get("commit")
    command = run.manifest.get("command")
    changed = " (the run was made with changes on top of it that were not committed)" if git.get("dirty") else ""
    steps = [(f"Take the same code{changed}", f"git checkout {commit}")] if commit else []
    if command:
        steps.append(("Run the experiment", command if isinstance(command, str) else " ".join(map(str, command))))
    directory = "/".join(run.path.parts[-3:]) if run.path.parent.parent.name == "outputs" else run.path.name
    steps.append(("Make this page again from the run's files, without training", f"ldyn report {directory}"))
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
    """The values of a config group that name what it is: of the model its name or kind, of the data path and source."""
    section = config.get(group)
    if not isinstance(section, Mapping):
        return "" if section is None else str(section)
    return ", ".join(str(section[key]) for key in reversed(keys) if section.get(key))


def _config(text: str) -> Mapping[str, Any]:
    """The resolved config, only to name model and data; a text that is no mapping is shown as it is further down."""
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return config if isinstance(config, Mapping) else {}


def _stage_line(entry: Mapping[str, Any], stage: StageInfo, measured: set[str]) -> StageLine:
    steps = f"{entry['steps']} steps" if entry.get("steps") is not None else ""
    rate = f"learning rate {stage.learning_rate:g}" if stage.learning_rate is not None else ""
    parameters = scalar(entry.get("parameters") or "")
    detail = ", ".join(part for part in (steps, rate, parameters) if part)
    return StageLine(stage.name, stage_title(stage), stage.start, detail, stage.name in measured)


def _stages(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(manifest.get("stages") or [])


def _mapping(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = manifest.get(name)
    return value if isinstance(value, Mapping) else {}


def _pairs(manifest: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    return [(key.replace("_", " "), scalar(value)) for key, value in _mapping(manifest, name).items()]


def _flat(entry: Mapping[str, Any]) -> dict[str, str]:
    """A stage's settings by name; those of the algorithm and the trainer stand beside the others."""
    settings: dict[str, str] = {}
    for key, value in entry.items():
        inner = value if isinstance(value, Mapping) else {key: value}
        settings |= {name.replace("_", " "): scalar(part) for name, part in inner.items() if name != "name"}
    return settings
