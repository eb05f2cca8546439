"""Findings as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, Finding, FindingOverSeeds

VERDICT_STYLES = {HOLDS: "bold green", FAILS: "bold red", INCONCLUSIVE: "yellow"}


def findings_table(findings: Sequence[Finding], title: str = "Findings") -> Table:
    """One row for each finding: id, claim, estimate with its 95 % interval and unit, verdict, reason."""
    table = Table(title=escape(title), show_lines=True, caption=_caption(findings))
    table.add_column("id", style="bold", no_wrap=True)
    table.add_column("claim", ratio=3)
    table.add_column("estimate [95 % interval]", ratio=2)
    table.add_column("verdict", no_wrap=True)
    table.add_column("reason", ratio=5)
    for finding in findings:
        verdict = f"[{VERDICT_STYLES[finding.verdict]}]{finding.verdict}[/]"
        table.add_row(finding.id, escape(finding.claim), estimate_text(finding), verdict, escape(finding.reason))
    return table


def estimate_text(finding: Finding) -> str:
    """The estimate with interval, unit and number of examples; without an interval where there is none."""
    return f"{interval_text(finding)} {escape(finding.unit)} ({examples_text(finding)})"


def interval_text(finding: Finding | FindingOverSeeds) -> str:
    """The estimate with its interval, without one where there is none."""
    # NaN differs from itself: with too few probe examples, or seeds, there is no interval
    interval = escape(f" [{finding.ci_low:+.3g}, {finding.ci_high:+.3g}]") if finding.ci_low == finding.ci_low else ""
    return f"{finding.estimate:+.3g}{interval}"


def examples_text(finding: Finding) -> str:
    """How many examples stand behind the estimate."""
    has_estimate = finding.estimate == finding.estimate
    return "mean only" if has_estimate and not finding.n else f"n = {finding.n}"


def _caption(findings: Sequence[Finding]) -> str:
    counts = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in VERDICT_STYLES}
    counted = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    seeds = max((finding.seeds for finding in findings), default=1)
    over = "probe examples of this run, not over seeds" if seeds == 1 else f"n seeds, or n draws under {seeds} seeds"
    return f"{counted}. Intervals are over {over}."
