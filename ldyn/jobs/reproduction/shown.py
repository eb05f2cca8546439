"""What a person sees of a reproduction in the terminal: the plan, how far it is, what failed."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ldyn.jobs.reproduction.order import wall_seconds
from ldyn.jobs.reproduction.plan import Job
from ldyn.jobs.reproduction.state import FAILED, FINISHED, HELD_UP, RUNNING, STOPPED, State

WIDTH_OF_LOGS = 160
STYLES = {FINISHED: "green", FAILED: "bold red", HELD_UP: "red", RUNNING: "cyan", STOPPED: "yellow"}


def console() -> Console:
    """One that does not wrap tables to 80 columns where the output is no terminal."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_LOGS)


def duration(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def print_plan(state: State, speed: float) -> None:
    """Every run with what it makes and takes over, and how long what is left should take."""
    table = Table(title=f"Reproduction at scale {state.config.scale.name}, {state.config.seeds} seeds")
    for name, settings in (("run", {"no_wrap": True}), ("makes", {}), ("takes over", {}), ("expected", {}), ("", {})):
        table.add_column(name, justify="right" if name == "expected" else "left", **settings)  # type: ignore[arg-type]
    for job in state.jobs:
        status = state.of_jobs[job.name].status
        taken = "; ".join(f"{', '.join(stages)} of {maker}" for maker, stages in _by_maker(job).items())
        row = (job.name, ", ".join(job.makes) or "–", taken or "–", duration(job.seconds))
        table.add_row(*map(escape, row), f"[{STYLES.get(status, '')}]{status}[/]" if status in STYLES else status)
    console().print(table)
    left = [job for job in state.jobs if state.of_jobs[job.name].status != FINISHED]
    expected, count = wall_seconds(left, state.config.at_a_time), state.config.at_a_time
    core = duration(sum(job.seconds for job in left))
    known = f"this machine takes {speed:.2f} times as long as the one the costs are of"
    about = known if state.config.scale.costs.trial else "costs not tried on this machine"
    print(f"{len(left)} of {len(state.jobs)} runs are left: {core} of work, about {duration(expected)} with {count}")
    print(f"at a time ({about}).")


def _by_maker(job: Job) -> dict[str, list[str]]:
    makers: dict[str, list[str]] = {}
    for stage, maker in job.takes_over.items():
        makers.setdefault(maker, []).append(stage)
    return makers


class Progress:
    """A line for each run that starts or ends, and in a terminal a bar over the expected time of all."""

    def __init__(self, state: State):
        self._state, self._console = state, console()
        columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TimeElapsedColumn())
        self._bar = progress.Progress(*columns, console=self._console, disable=not sys.stdout.isatty())
        self._task = self._bar.add_task("runs", total=sum(job.seconds for job in state.jobs))
        self._advance()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def tell(self, job: Job) -> None:
        """Say what has become of ``job``."""
        of_job = self._state.of_jobs[job.name]
        spent = f" after {duration(of_job.seconds)}, expected {duration(job.seconds)}"
        words = f"{job.name}: {of_job.status}{'' if of_job.status in (RUNNING, HELD_UP) else spent}"
        self._console.print(f"{self._count()} [{STYLES.get(of_job.status, '')}]{escape(words)}[/]", soft_wrap=True)
        self._advance()

    def _advance(self) -> None:
        done = sum(job.seconds for job in self._state.jobs if self._state.of_jobs[job.name].status == FINISHED)
        self._bar.update(self._task, completed=done, description=f"{self._count()} runs")

    def _count(self) -> str:
        finished = sum(one.status == FINISHED for one in self._state.of_jobs.values())
        return f"{finished}/{len(self._state.jobs)}"


def print_failures(state: State) -> int:
    """Say which runs have failed or could not start, and how to go on; how many they are."""
    failed = [job for job in state.jobs if state.of_jobs[job.name].status in (FAILED, HELD_UP)]
    for job in failed:
        of_job = state.of_jobs[job.name]
        makers = ", ".join(sorted(name for name in job.after if state.of_jobs[name].status != FINISHED))
        why = f"waits for {makers}" if of_job.status == HELD_UP else of_job.error
        print(f"{job.name}: {of_job.status}: {why}", file=sys.stderr)
    if failed:
        where = state.config.paths.run / "log"
        print(f"{len(failed)} runs are missing. Look at {where}, then go on with the same command.", file=sys.stderr)
    return len(failed)
