"""Plain one-line summaries, for logs and pipes: one when a stage starts, one each time the probes are scored."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from ldyn.records import Finding, ProbeScore, ProbeStep, StageInfo
from ldyn.tracking.observer import StagePast
from ldyn.tracking.summaries import probe_means, stage_words

SHOWN = ("chosen", "rejected", "irr_train")


class PlainLines:
    """Writes to standard error, so that standard output holds results only."""

    def __init__(self, out: TextIO | None = None):
        self._out = out or sys.stderr
        self._total, self._loss, self._started = 0, "", 0.0

    def stage_recalled(self, stage: StageInfo, total_steps: int, past: StagePast) -> None:
        """Nothing: it was said by the process that did it."""

    def stage_started(self, stage: StageInfo, total_steps: int) -> None:
        self._total, self._loss, self._started = total_steps, "", time.monotonic()
        self._say(f"{stage.name}: {stage_words(stage, total_steps)}")

    def step_logged(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        self._loss = f"  loss {metrics['loss']:.4g}" if "loss" in metrics else self._loss

    def probes_scored(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        means, argmax_means = probe_means(scores, "logp"), probe_means(scores, "logp_argmax")
        values = [(probe, means.get(("train", probe))) for probe in SHOWN]
        values.append(("greedy", argmax_means.get(("train", "chosen"))))
        shown = "  ".join(f"{name} {mean:.2f}" for name, mean in values if mean is not None)
        self._say(f"{probe_step.stage} {probe_step.step}/{self._total}{self._loss}  log p: {shown}")

    def stage_finished(self, stage: StageInfo) -> None:
        self._say(f"{stage.name}: done in {time.monotonic() - self._started:.0f} s")

    def run_finished(self, findings: Sequence[Finding], figures: Sequence[Path], report: Path | None) -> None:
        """Nothing: whoever ran the run prints its results."""

    def close(self) -> None:
        """Nothing is held open."""

    def _say(self, line: str) -> None:
        print(line, file=self._out, flush=True)
