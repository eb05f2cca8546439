"""TensorBoard: curves of every probe and metric, and findings, as event files in ``<run>/tensorboard``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from ldyn.records import Finding, ProbeScore, ProbeStep, StageInfo
from ldyn.tracking.means import Charts, describe_stage
from ldyn.tracking.observers import Observer, StagePast


class TensorboardTracker(Observer):
    """One writer; each stage has its charts, named ``<stage>/…``, over its own steps.

    A resumed run replays its past, so the files of an earlier process are replaced: no step is drawn twice.
    """

    def __init__(self, directory: Path):
        from torch.utils.tensorboard import SummaryWriter  # here, as this package must import without torch

        shutil.rmtree(directory / "tensorboard", ignore_errors=True)
        self._writer = SummaryWriter(str(directory / "tensorboard"), flush_secs=10)
        self._charts = Charts()

    def stage_recalled(self, stage: StageInfo, total_steps: int, past: StagePast) -> None:
        past.replay(self.probes_scored, partial(self.step_logged, stage.name))

    def stage_started(self, stage: StageInfo, total_steps: int) -> None:
        self._writer.add_text(f"{stage.name}/stage", describe_stage(stage, total_steps))

    def step_logged(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        for key, value in metrics.items():
            self._writer.add_scalar(f"{stage}/train/{key}", value, step)

    def probes_scored(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        for name, value in self._charts.points(probe_step, scores).items():
            self._writer.add_scalar(name, value, probe_step.step)

    def stage_finished(self, stage: StageInfo) -> None:
        self._writer.flush()

    def run_finished(self, findings: Sequence[Finding], report: Path | None) -> None:
        head = ["| | claim | estimate | verdict |", "|---|---|---|---|"]
        rows = [f"| {found.id} | {found.claim} | {found.estimate:.3g} | {found.verdict} |" for found in findings]
        self._writer.add_text("findings", "\n".join(head + rows))
        self.close()

    def close(self) -> None:
        self._writer.close()
