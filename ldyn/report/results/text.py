"""Words and tables of the results page, in Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, Finding

MARKS = {HOLDS: "✓", FAILS: "✗", INCONCLUSIVE: "?"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; cells may hold Markdown, but no line break and no bar of their own."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)]


def _cell(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).replace("|", "\\|")


def mark(verdict: str) -> str:
    """The sign of a verdict."""
    return MARKS.get(verdict, "")


def estimate(finding: Finding) -> str:
    """The estimate, with its interval where it has one."""
    return interval(finding.estimate, finding.ci_low, finding.ci_high)


def interval(value: float, low: float, high: float) -> str:
    """Three significant digits each; a dash where there is no number."""
    if not math.isfinite(value):
        return "–"
    ends = f" [{low:+.3g}, {high:+.3g}]" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{value:+.3g}{ends}"
