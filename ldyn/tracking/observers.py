"""Observers follow a run and never change anything: an observer that fails is dropped, and the run continues."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldyn.records import Finding, ProbeScore, ProbeStep, StageInfo

Row = Mapping[str, float]
"""Metric -> value: of the training log, after one step."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StagePast:
    """What an earlier process of a resumed run stored of a stage: rows of its log, each with its ``step``; scores."""

    log: Sequence[Row]
    scored: Sequence[tuple[ProbeStep, Sequence[ProbeScore]]]

    def replay(
        self, scored: Callable[[ProbeStep, Sequence[ProbeScore]], None], logged: Callable[[int, Row], None]
    ) -> None:
        """Report it all again in the order in which it happened: after a step it is scored, then logged."""
        probe_steps = {probe_step.step: (probe_step, scores) for probe_step, scores in self.scored}
        rows = {int(row["step"]): row for row in self.log}
        for step in sorted({*probe_steps, *rows}):
            if step in probe_steps:
                scored(*probe_steps[step])
            if step in rows:
                logged(step, {name: value for name, value in rows[step].items() if name != "step"})


class Observer:
    """Is called in this order; a resumed stage starts again, at its first step still to be made."""

    def stage_recalled(self, stage: StageInfo, total_steps: int, past: StagePast) -> None:
        """In a resumed run: before ``stage_started`` of a stage that continues, or instead of it for a finished one."""

    def stage_started(self, stage: StageInfo, total_steps: int) -> None:
        """A stage of ``total_steps`` updates begins; its probes at step 0 are scored after this."""

    def step_logged(self, stage: str, step: int, metrics: Row) -> None:
        """Training metrics after ``step`` updates of the stage: loss, learning_rate, grad_norm ..."""

    def probes_scored(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        """All probes of all splits, scored at one probe step."""

    def stage_finished(self, stage: StageInfo) -> None:
        """The stage has made its last update and its last probes are scored."""

    def run_finished(self, findings: Sequence[Finding], report: Path | None) -> None:
        """The results are there. Close files before the return: the run directory gets its final name after this."""

    def close(self) -> None:
        """The run has ended, well or not; called once, also after an error, and if this observer itself failed."""


def _to_all(method: str) -> Callable[..., None]:
    def call(self: AllObservers, *arguments: Any) -> None:
        for name, observer in list(self.observers.items()):
            with self.dropped_if_it_fails(name):
                getattr(observer, method)(*arguments)

    return call


class AllObservers(Observer):
    """Many observers as one. They are made by the functions given, as making one can fail as well."""

    stage_recalled = _to_all("stage_recalled")
    stage_started = _to_all("stage_started")
    step_logged = _to_all("step_logged")
    probes_scored = _to_all("probes_scored")
    stage_finished = _to_all("stage_finished")
    run_finished = _to_all("run_finished")
    close = _to_all("close")

    def __init__(self, makers: Mapping[str, Callable[[], Observer]]):
        self.observers: dict[str, Observer] = {}
        for name, make in makers.items():
            with self.dropped_if_it_fails(name):
                self.observers[name] = make()

    @contextlib.contextmanager
    def dropped_if_it_fails(self, name: str) -> Iterator[None]:
        """Whatever a tracker raises in this block, hours of training are worth more: one warning, and it is closed."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            failed = self.observers.pop(name, None)
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            follow = "stopped following this run"
            _logger.warning("%s %s (%s); the run continues, and its directory has everything.", name, follow, reason)
            if failed is not None:
                with contextlib.suppress(Exception):
                    failed.close()
