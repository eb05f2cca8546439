"""Many observers as one; one that fails is dropped with a warning, and the run goes on."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ldyn.records import Finding, ProbeScore, ProbeStep, StageInfo
from ldyn.tracking.observer import Observer, StagePast

_logger = logging.getLogger(__name__)


class FanOut:
    """Tells every observer everything. Observers are made by the functions given, as making one can fail as well."""

    def __init__(self, makers: Mapping[str, Callable[[], Observer]]):
        self._observers: dict[str, Observer] = {}
        for name, make in makers.items():
            self._guarded(name, partial(self._add, name, make))

    def stage_recalled(self, stage: StageInfo, total_steps: int, past: StagePast) -> None:
        self._tell(lambda observer: observer.stage_recalled(stage, total_steps, past))

    def stage_started(self, stage: StageInfo, total_steps: int) -> None:
        self._tell(lambda observer: observer.stage_started(stage, total_steps))

    def step_logged(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        self._tell(lambda observer: observer.step_logged(stage, step, metrics))

    def probes_scored(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        self._tell(lambda observer: observer.probes_scored(probe_step, scores))

    def stage_finished(self, stage: StageInfo) -> None:
        self._tell(lambda observer: observer.stage_finished(stage))

    def run_finished(self, findings: Sequence[Finding], figures: Sequence[Path], report: Path | None) -> None:
        self._tell(lambda observer: observer.run_finished(findings, figures, report))

    def close(self) -> None:
        self._tell(lambda observer: observer.close())

    def _add(self, name: str, make: Callable[[], Observer]) -> None:
        self._observers[name] = make()

    def _tell(self, message: Callable[[Observer], None]) -> None:
        for name, observer in list(self._observers.items()):
            self._guarded(name, partial(message, observer))

    def _guarded(self, name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever a tracker raises, hours of training are worth more
            failed = self._observers.pop(name, None)
            _logger.warning(
                "%s stopped following this run (%s: %s); the run goes on, and its directory has everything.",
                name,
                type(error).__name__,
                " ".join(str(error).split())[:300],
            )
            if failed is not None:
                with contextlib.suppress(Exception):
                    failed.close()
