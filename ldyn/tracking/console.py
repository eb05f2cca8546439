"""The live view in a terminal: a bar for the stage and one line for each probe family, to watch the squeeze happen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ldyn.records import PROBE_FAMILIES, Finding, ProbeFamily, ProbeScore, ProbeStep, StageInfo
from ldyn.tracking.observer import StagePast
from ldyn.tracking.sparkline import sparkline
from ldyn.tracking.summaries import probe_means

GREEDY = ProbeFamily("greedy", "y*", "greedy: the most likely tokens along y⁺")
GROUP_STYLES = {
    "chosen": "#4C9BE8",
    "rejected": "#E2601F",
    "irrelevant": "#2CA05A",
    "random": "#8C8C8C",
    "greedy": "bold",
}
"""The hues of the report, light enough for a dark terminal."""


class StepsPerSecond(ProgressColumn):
    """Updates per second, probing included."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} it/s" if speed else "", style="dim")


class LiveConsole:
    """Redraws itself while a stage goes on and leaves its last picture behind; silent between stages."""

    def __init__(self, console: Console | None = None):
        self._console = console or Console(stderr=True)
        self._live: Live | None = None
        self._begin("")

    def stage_recalled(self, stage: StageInfo, total_steps: int, past: StagePast) -> None:
        """Nothing: the bars and curves are of what this process sees."""

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

    def run_finished(self, findings: Sequence[Finding], figures: Sequence[Path], report: Path | None) -> None:
        """Nothing: whoever ran the run prints its results."""

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
            StepsPerSecond(),
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
