"""Findings over seeds as a table for a terminal, and their numbers in words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ldyn.findings.table import VERDICT_STYLES, interval_text
from ldyn.records import FindingOverSeeds

CAPTION = "95 % intervals over seeds; p two-sided, then corrected for all claims of the table (Benjamini-Hochberg)"


def over_seeds_table(findings: Sequence[FindingOverSeeds], title: str = "Findings over seeds") -> Table:
    """One row for each finding: id, claim, estimate with its interval, verdicts of single seeds, p, verdict, reason."""
    table = Table(title=escape(title), show_lines=True, caption=CAPTION)
    table.add_column("id", style="bold", no_wrap=True)
    table.add_column("claim", ratio=3)
    table.add_column("estimate [95 % interval]", ratio=2)
    table.add_column("single seeds", ratio=1)
    table.add_column("p, corrected", ratio=1)
    table.add_column("verdict", no_wrap=True)
    table.add_column("reason", ratio=5)
    for one in findings:
        estimate = f"{interval_text(one)} {escape(one.unit)} ({one.seeds} seed{'s' * (one.seeds != 1)})"
        verdict = f"[{VERDICT_STYLES[one.verdict]}]{one.verdict}[/]"
        table.add_row(one.id, escape(one.claim), estimate, alone_text(one), p_text(one), verdict, escape(one.reason))
    return table


def alone_text(finding: FindingOverSeeds) -> str:
    """In how many seeds the claim held, failed and was open on its own: "2 hold, 1 open"."""
    if finding.held is None:
        return "a study"
    counts = {"hold": finding.held, "fail": finding.failed, "open": finding.open}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def p_text(finding: FindingOverSeeds) -> str:
    """The p-value before and after the correction; a dash where there is none."""
    found, adjusted = finding.p_value, finding.p_adjusted
    return f"{found:.2g}, {adjusted:.2g}" if found == found else "–"
