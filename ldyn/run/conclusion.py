"""The end of a run: findings, figures and report; then the summary in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ldyn.findings import find_all
from ldyn.findings.tables import findings_table
from ldyn.records import Finding
from ldyn.run.manifest import Manifest, now
from ldyn.store import Run, RunDirectory, read_run

WIDTH_OF_LOGS = 160


def conclude(
    directory: RunDirectory, manifest: Manifest, *, with_report: bool = True
) -> tuple[Sequence[Finding], Path | None]:
    """Findings, figures and the report page, all made from the files of the run."""
    run = read_run(directory.path)
    findings = find_all(run.trajectories, run.stages, run.planned_steps, run.tables)
    directory.write_json("findings.json", findings)
    manifest.update(status="finished", finished=now())
    if not with_report:
        return findings, None
    from ldyn.report import build_report  # a second and a half of matplotlib

    return findings, build_report(directory.path)


def print_results(run: Run) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_LOGS)
    console.print(findings_table(run.findings))
    console.print(time_table(run))
    report = run.path / "report.html"
    line = f"Report: {report}" if report.exists() else f"Report: not written; run `ldyn report {run.path}`"
    console.print(line, soft_wrap=True)


def time_table(run: Run) -> Table:
    """Wall seconds of each part. Probing happens inside the stages and is counted in them, too."""
    table = Table(title="Where the time went", title_justify="left")
    table.add_column("part")
    table.add_column("seconds", justify="right")
    for part, seconds in run.manifest["seconds"].items():
        inside = " (inside the stages)" if part == "probing" else ""
        table.add_row(part + inside, f"{seconds:.1f}")
    table.add_row("peak memory", f"{run.manifest['peak_memory_mib']:,} MiB")
    return table
