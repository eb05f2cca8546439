"""Who may watch a run: whatever is told of its stages, steps, probe scores and end, and never changes anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ldyn.records import Finding, ProbeScore, ProbeStep, StageInfo

Row = Mapping[str, float]
"""Metric -> value: of the training log, after one step."""


@dataclass(frozen=True)
class StagePast:
    """What an earlier process of a resumed run stored of a stage: rows of its log, each with its ``step``; scores."""

    log: Sequence[Row]
    scored: Sequence[tuple[ProbeStep, Sequence[ProbeScore]]]

    def tell(
        self, scored: Callable[[ProbeStep, Sequence[ProbeScore]], None], logged: Callable[[int, Row], None]
    ) -> None:
        """Tell it all again, in the order in which it happened: after a step it is scored, then logged."""
        probe_steps = {probe_step.step: (probe_step, scores) for probe_step, scores in self.scored}
        rows = {int(row["step"]): row for row in self.log}
        for step in sorted({*probe_steps, *rows}):
            if step in probe_steps:
                scored(*probe_steps[step])
            if step in rows:
                logged(step, {name: value for name, value in rows[step].items() if name != "step"})


class Observer(Protocol):
    """Told of a run in this order; a stage that is resumed starts again, at its first step still to be made."""

    def stage_recalled(self, stage: StageInfo, total_steps: int, past: StagePast) -> None:
        """In a resumed run, before ``stage_started`` of a stage that goes on, or instead of it where it is finished."""

    def stage_started(self, stage: StageInfo, total_steps: int) -> None:
        """A stage of ``total_steps`` updates begins; its probes at step 0 are scored after this."""

    def step_logged(self, stage: str, step: int, metrics: Row) -> None:
        """Training metrics after ``step`` updates of the stage: loss, learning_rate, grad_norm ..."""

    def probes_scored(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        """All probes of all splits, scored at one probe step."""

    def stage_finished(self, stage: StageInfo) -> None:
        """The stage has made its last update and its last probes are scored."""

    def run_finished(self, findings: Sequence[Finding], figures: Sequence[Path], report: Path | None) -> None:
        """The results are there. Files must be closed on return: the run directory gets its final name after this."""

    def close(self) -> None:
        """The run has ended, well or not; called once, also after an error, and if this observer itself failed."""
