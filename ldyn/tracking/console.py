"""Progress on standard error: a line for each probe step, and on a terminal a bar below the lines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ldyn.records import ProbeScore, ProbeStep, StageInfo
from ldyn.tracking.means import describe_stage, probe_means
from ldyn.tracking.observers import Observer

IN_LINES = ("chosen", "rejected", "irr_train")


class ProgressLines(Observer):
    """A line when a stage starts and ends, and one each time the probes are scored."""

    def __init__(self, console: Console | None = None):
        self._console = console or Console(stderr=True)
        self._total, self._loss, self._started = 0, "", 0.0
        self._bar: Progress | None = None

    def stage_started(self, stage: StageInfo, total_steps: int) -> None:
        self.close()
        self._total, self._loss, self._started = total_steps, "", time.monotonic()
        self._print(f"{stage.name}: {describe_stage(stage, total_steps)}")
        if self._console.is_terminal:
            columns = (TextColumn("[bold]{task.description}"), BarColumn(32), MofNCompleteColumn())
            self._bar = Progress(*columns, TimeRemainingColumn(compact=True), console=self._console, transient=True)
            self._bar.add_task(stage.name, total=total_steps)
            self._bar.start()

    def step_logged(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        self._loss = f"  loss {metrics['loss']:.4g}" if "loss" in metrics else self._loss
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=step)

    def probes_scored(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        means, argmax_means = probe_means(scores, "logp"), probe_means(scores, "logp_argmax")
        values = [(probe, means.get(("train", probe))) for probe in IN_LINES]
        values.append(("greedy", argmax_means.get(("train", "chosen"))))
        shown = "  ".join(f"{name} {mean:.2f}" for name, mean in values if mean is not None)
        self._print(f"{probe_step.stage} {probe_step.step}/{self._total}{self._loss}  log p: {shown}")

    def stage_finished(self, stage: StageInfo) -> None:
        self.close()
        self._print(f"{stage.name}: done in {time.monotonic() - self._started:.0f} s")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
