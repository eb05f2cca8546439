"""Progress in the terminal: a live view where there is one, plain lines in logs and pipes; on standard error."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ldyn.records import PROBE_FAMILIES, ProbeFamily, ProbeScore, ProbeStep, StageInfo
from ldyn.tracking.charts import describe_stage, probe_means, sparkline
from ldyn.tracking.observers import Observer

IN_LINES = ("chosen", "rejected", "irr_train")
GREEDY = ProbeFamily("greedy", "y*", "greedy: the most likely tokens along y⁺")
GROUP_STYLES = {
    "chosen": "#4C9BE8",
    "rejected": "#E2601F",
    "irrelevant": "#2CA05A",
    "random": "#8C8C8C",
    "greedy": "bold",
}
"""The hues of the report, light enough for a dark terminal."""


class LiveConsole(Observer):
    """A bar for the stage and a line for each probe family, redrawn; the last picture of a stage stays."""

    def __init__(self, console: Console | None = None):
        self._console = console or Console(stderr=True)
        self._live: Live | None = None
        self._begin("")

    def stage_started(self, stage: StageInfo, total_steps: int) -> None:
        self.close()
        self._begin(stage.name)
        self._task = self._progress.add_task(stage.name, total=total_steps, loss="")
        self._live = Live(self._picture(), console=self._console, refresh_per_second=4)
        self._live.start()

    def step_logged(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        self._progress.update(self._task, completed=step)
        if "loss" in metrics:
            self._progress.update(self._task, loss=f"loss {metrics['loss']:.4g}")

    def probes_scored(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        train = [score for score in scores if score.split == "train"]
        for (_, probe), mean in probe_means(train, "logp").items():
            self._curves[probe].append(mean)
        for (_, probe), mean in probe_means(train, "logp_argmax").items():
            if probe == "chosen":
                self._curves["greedy"].append(mean)
        self._progress.update(self._task, completed=probe_step.step)
        self._redraw()

    def stage_finished(self, stage: StageInfo) -> None:
        self.close()

    def close(self) -> None:
        if self._live is not None:
            self._redraw()
            self._live.stop()
            self._live = None

    def _begin(self, stage: str) -> None:
        self._stage = stage
        self._curves: dict[str, list[float]] = defaultdict(list)
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
        )

    def _redraw(self) -> None:
        if self._live is not None:
            self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        return Group(self._progress, self._family_lines())

    def _family_lines(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column()
        table.add_column(justify="right")
        table.add_column(justify="right")
        table.add_column()
        for probe, curve in self._curves.items():
            family = GREEDY if probe == "greedy" else PROBE_FAMILIES.get(probe, ProbeFamily("other", "", probe))
            change = f"{curve[-1] - curve[0]:+.2f}"
            line = (family.symbol, family.label, f"{curve[-1]:.2f}", change, sparkline(curve))
            table.add_row(*line, style=GROUP_STYLES.get(family.group, ""))
        if self._curves:
            table.add_row("", "mean log p (nats) on train probes", "now", f"in {self._stage}", "", style="dim")
        return table


class PlainLines(Observer):
    """A line when a stage starts and ends, and one each time the probes are scored."""

    def __init__(self, out: TextIO | None = None):
        self._out = out or sys.stderr
        self._total, self._loss, self._started = 0, "", 0.0

    def stage_started(self, stage: StageInfo, total_steps: int) -> None:
        self._total, self._loss, self._started = total_steps, "", time.monotonic()
        self._print(f"{stage.name}: {describe_stage(stage, total_steps)}")

    def step_logged(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        self._loss = f"  loss {metrics['loss']:.4g}" if "loss" in metrics else self._loss

    def probes_scored(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> None:
        means, argmax_means = probe_means(scores, "logp"), probe_means(scores, "logp_argmax")
        values = [(probe, means.get(("train", probe))) for probe in IN_LINES]
        values.append(("greedy", argmax_means.get(("train", "chosen"))))
        shown = "  ".join(f"{name} {mean:.2f}" for name, mean in values if mean is not None)
        self._print(f"{probe_step.stage} {probe_step.step}/{self._total}{self._loss}  log p: {shown}")

    def stage_finished(self, stage: StageInfo) -> None:
        self._print(f"{stage.name}: done in {time.monotonic() - self._started:.0f} s")

    def _print(self, line: str) -> None:
        print(line, file=self._out, flush=True)


def make_console() -> Observer:
    """The live view if standard error is a terminal."""
    return LiveConsole() if sys.stderr.isatty() else PlainLines()
