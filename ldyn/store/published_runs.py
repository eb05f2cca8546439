"""From directories of published logs to a run directory with the trajectory table of any other run.

A log has neither the algorithm nor the weights it started from: its name and its first numbers show them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ldyn.errors import ConfigError
from ldyn.records import MEAN_EXAMPLE, StageInfo
from ldyn.store.directory import RunDirectory
from ldyn.store.imported import ImportedStage, write_source
from ldyn.store.published_files import PublishedLog, read_published_log
from ldyn.store.published_logs import MeasuredLog, measures_of
from ldyn.store.schema import imported_table

# kind -> algorithm, kind of loss, responses trained on; all published runs used one of these
KINDS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "sft": ("sft", "pointwise", ("chosen",)),
    "extend": ("sft", "pointwise", ("chosen", "rejected")),
    "dpo": ("dpo", "pairwise", ("chosen", "rejected")),
}
BASE, UNKNOWN = "base", "unknown"
BATCH_SIZE = 4  # examples of one update, in all published runs
_NEAR = 0.1
"""Share of a stage's own change by which the next log may begin beside its end (no log has its very last weights)."""


@dataclass(frozen=True)
class LogSource:
    """A directory to import. kind: one of KINDS, None to read it off the directory's name.

    examples_apart: training examples between two evaluations.
    """

    directory: Path
    kind: str | None = None
    examples_apart: int = 1000


@dataclass(frozen=True)
class LoggedStage(ImportedStage):
    """A stage with what was measured in it."""

    source: LogSource
    log: MeasuredLog


def import_logs(sources: Sequence[LogSource]) -> list[LoggedStage]:
    """Read and check every directory, in the order of their stages; nothing is written.

    Raises DataError for directories that cannot be used, ConfigError with all that cannot be known of stages.
    """
    names = [source.directory.resolve().name for source in sources]
    kinds = [
        {source.kind} if source.kind else set(re.split(r"[^a-z]+", name.lower())) & set(KINDS)
        for source, name in zip(sources, names, strict=True)
    ]
    faults = [
        f"the directory's name {name!r} names {' and '.join(sorted(found)) or 'no stage'}; "
        f"pass --stage {'|'.join(KINDS)} for each directory"
        for name, found in zip(names, kinds, strict=True)
        if len(found) != 1
    ]
    apart = [source.examples_apart for source in sources if source.examples_apart < BATCH_SIZE]
    faults += [f"--examples-apart: found {found}, expected {BATCH_SIZE} (one update) or more" for found in apart]
    if faults:
        raise ConfigError(faults)
    stages: list[LoggedStage] = []
    for (kind,), source in zip(kinds, sources, strict=True):
        stages.append(_stage(kind, source, read_published_log(source.directory), stages))
    return stages


def _stage(kind: str, source: LogSource, log: PublishedLog, earlier: Sequence[LoggedStage]) -> LoggedStage:
    """The directory as a stage after ``earlier`` ones; a second one of a kind gets its number."""
    measured = measures_of(log)
    start, about_start = _start(kind, measured, earlier)
    number = 1 + sum(re.sub(r"_\d+", "", stage.info.name) == kind for stage in earlier)
    info = StageInfo(kind if number == 1 else f"{kind}_{number}", *KINDS[kind], start)
    steps = f"has no steps; assumed is an evaluation every {source.examples_apart:,} examples, {BATCH_SIZE} an update"
    name = log.directory.resolve().name
    notes = (*measured.notes, f"{name}: stage {info.name} starts from {about_start}", f"{name}: the log {steps}")
    counts = {"evaluations": len(next(iter(measured.probes.values()))["logp"])}
    if MEAN_EXAMPLE not in measured.example_ids:
        counts["examples"] = len(measured.example_ids)
    return LoggedStage(info, log.files, notes, counts, source, measured)


def _start(kind: str, log: MeasuredLog, earlier: Sequence[LoggedStage]) -> tuple[str, str]:
    """The weights whose y⁺ is as likely as at this log's first evaluation: those that began or ended an earlier log."""
    if not earlier or "chosen" not in log.probes:
        known = kind != "dpo"
        return (BASE, "the base") if known else (UNKNOWN, "unknown weights: no log before it has them")
    level = float(log.probes["chosen"]["logp"][0].mean())
    ends: list[tuple[str, float, float]] = []  # name, mean log π(chosen) there, how far off is near
    for stage in earlier:
        if "chosen" in stage.log.probes:
            levels = stage.log.probes["chosen"]["logp"].mean(axis=1)
            near = _NEAR * float(abs(levels[-1] - levels[0]))
            ends += [(stage.info.start, float(levels[0]), near), (stage.info.name, float(levels[-1]), near)]
    name, at, near = min(ends, key=lambda end: abs(end[1] - level), default=(UNKNOWN, np.inf, 0.0))
    if abs(at - level) > near:
        return UNKNOWN, f"unknown weights: log π(chosen) is {level:.1f}, at no other log's end so"
    return name, f"{name}: log π(chosen) is {level:.1f} at its first evaluation, {at:.1f} there"


def write_import(stages: Sequence[LoggedStage], directory: RunDirectory) -> None:
    """Write ``config.yaml`` and ``trajectories.parquet``; the caller writes the manifest."""
    names = [stage.source.directory.resolve().name for stage in stages]
    sources = {stage.info.name: {key: str(value) for key, value in asdict(stage.source).items()} for stage in stages}
    write_source(directory, "published logs", names, sources, imported_table(rows_of(stages)))


def rows_of(stages: Sequence[LoggedStage]) -> pd.DataFrame:
    """The rows of all stages, by stage, evaluation, probe and example."""
    return pd.concat([_stage_rows(stage) for stage in stages], ignore_index=True)


def _stage_rows(stage: LoggedStage) -> pd.DataFrame:
    frames = []
    for probe, measures in stage.log.probes.items():
        evaluations, examples = measures["logp"].shape
        keys = {
            "evaluation": np.repeat(np.arange(evaluations), examples),
            "example_id": np.tile(np.array(stage.log.example_ids), evaluations),
            "probe": probe,
        }
        frames.append(pd.DataFrame(keys | {name: values.ravel() for name, values in measures.items()}))
    rows = pd.concat(frames, ignore_index=True).sort_values("evaluation", kind="stable")
    seen = rows.pop("evaluation") * stage.source.examples_apart
    about = {"stage": stage.info.name, "algorithm": stage.info.algorithm, "split": "train"}
    return rows.assign(**about, examples_seen=seen, step=seen // BATCH_SIZE)
