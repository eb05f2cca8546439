"""What a published log does not say: which algorithm trained, and from which weights. Read off or told by the user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ldyn.errors import ConfigError, expected_one_of
from ldyn.records import StageInfo
from ldyn.store.published.files import PublishedLog
from ldyn.store.published.measures import MeasuredLog, measures_of

# kind -> algorithm, kind of loss, responses trained on; all published runs used one of these
KINDS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "sft": ("sft", "pointwise", ("chosen",)),
    "extend": ("sft", "pointwise", ("chosen", "rejected")),
    "dpo": ("dpo", "pairwise", ("chosen", "rejected")),
}
BASE, UNKNOWN = "base", "unknown"
_NEAR = 0.1
"""Share of a stage's own change by which the next log may begin beside its end (no log has its very last weights)."""


@dataclass(frozen=True)
class LogSource:
    """A directory to import. kind: one of KINDS, or None to read it off the directory's name.

    start: "base", "unknown" or the name of an earlier stage; None to read it off the first numbers.
    examples_apart: training examples between two evaluations. batch_size: examples of one update.
    """

    directory: Path
    kind: str | None = None
    start: str | None = None
    examples_apart: int = 1000
    batch_size: int = 4


@dataclass(frozen=True)
class LoggedStage:
    """A stage with what was measured in it and the files that say so.

    start_note: how its start was found; empty where it was told, or where there was nothing to find.
    """

    info: StageInfo
    source: LogSource
    files: tuple[Path, ...]
    log: MeasuredLog
    start_note: str = ""

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the stage's numbers."""
        assumed = f"an evaluation every {self.source.examples_apart:,} examples, {self.source.batch_size} an update"
        steps = f"{self.source.directory.resolve().name}: the log has no steps; assumed is {assumed}"
        return [*self.log.notes, *([self.start_note] if self.start_note else []), steps]


def stage_kinds(sources: Sequence[LogSource]) -> list[str]:
    """The kind of each directory. Raises ConfigError with all that cannot be told, or cannot be."""
    faults = []
    kinds = []
    for source in sources:
        name = source.directory.resolve().name
        words = {source.kind} if source.kind else set(re.split(r"[^a-z]+", name.lower())) & set(KINDS)
        if len(words) == 1:
            kinds.append(words.pop())
        else:
            which = f"speaks of {' and '.join(sorted(words))}" if words else "does not tell which stage it logged"
            faults.append(
                f"the directory's name {name!r} {which}; say --stage {'|'.join(KINDS)}, once for each directory"
            )
        if source.examples_apart < source.batch_size:
            found = (
                f"{source.examples_apart} examples from one evaluation of {name} to the next, {source.batch_size} an"
            )
            faults.append(f"{found} update; expected at least one update between two evaluations")
    if faults:
        raise ConfigError(faults)
    return kinds


def stage_names(kinds: Sequence[str]) -> list[str]:
    """Each stage is called as its kind; a second one of a kind gets its number."""
    counts = [kinds[: place + 1].count(kind) for place, kind in enumerate(kinds)]
    return [kind if count == 1 else f"{kind}_{count}" for kind, count in zip(kinds, counts, strict=True)]


def logged_stage(
    name: str, kind: str, source: LogSource, log: PublishedLog, earlier: Sequence[LoggedStage]
) -> LoggedStage:
    """Put a directory into the run after ``earlier`` ones.

    Raises ConfigError for a start that is none of them, DataError where the log has no measure that can be used.
    """
    known = [BASE, UNKNOWN, *(stage.info.name for stage in earlier)]
    if source.start is not None and source.start not in known:
        raise ConfigError([f"{source.directory} starts from {source.start!r}: {expected_one_of(source.start, known)}"])
    measured = measures_of(log)
    start, note = (source.start, "") if source.start else _start(kind, measured, earlier)
    algorithm, loss, view = KINDS[kind]
    info = StageInfo(name, algorithm, loss, view, start)
    return LoggedStage(info, source, log.files, measured, f"{log.directory.name}: stage {name} {note}" if note else "")


def _start(kind: str, log: MeasuredLog, earlier: Sequence[LoggedStage]) -> tuple[str, str]:
    """The weights whose y⁺ is as likely as at this log's first evaluation: those that began or ended an earlier log."""
    level = _level(log, 0)
    if not earlier or level is None:
        if kind == "dpo":
            return UNKNOWN, "starts from weights that are not known: no log before it tells (say --start)"
        return BASE, ""
    candidates = [one for stage in earlier for one in _ends_of(stage)]
    nearest = min(candidates, key=lambda one: abs(one[1] - level), default=None)
    if nearest is None or abs(nearest[1] - level) > nearest[2]:
        return UNKNOWN, f"starts from weights that are not known: log π(chosen) is {level:.1f}, at no log's end so"
    return nearest[
        0
    ], f"starts from {nearest[0]}: log π(chosen) is {level:.1f} at its first evaluation, {nearest[1]:.1f} there"


def _ends_of(stage: LoggedStage) -> list[tuple[str, float, float]]:
    """(name, mean log π(chosen), how far off is near) of the weights at a log's two ends."""
    first, last = _level(stage.log, 0), _level(stage.log, -1)
    if first is None or last is None:
        return []
    near = _NEAR * abs(last - first)
    return [(stage.info.start, first, near), (stage.info.name, last, near)]


def _level(log: MeasuredLog, evaluation: int) -> float | None:
    chosen = log.probes.get("chosen")
    return None if chosen is None else float(np.mean(chosen["logp"][evaluation]))
