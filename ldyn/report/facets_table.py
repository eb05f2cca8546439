"""The findings of a sweep by the swept values: one row for each claim, one column for each facet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, Finding
from ldyn.report.facets import Facet

MARKS = {HOLDS: "✓", FAILS: "✗", INCONCLUSIVE: "?"}


def facets_table(facets: Sequence[Facet]) -> list[str]:
    """Of one run a cell has estimate and interval; of several, how many gave which verdict, and the mean estimate."""
    found = [[{finding.id: finding for finding in run.findings} for run in facet.runs] for facet in facets]
    ids = dict.fromkeys(name for runs in found for findings in runs for name in findings)
    lines = [f"| claim | {' | '.join(facet.name for facet in facets)} |", "|---" * (len(facets) + 1) + "|"]
    for name in ids:
        of_facets = [[findings[name] for findings in runs if name in findings] for runs in found]
        first = next(one for findings in of_facets for one in findings)
        cells = [_cell(findings, len(runs)) for findings, runs in zip(of_facets, found, strict=True)]
        lines.append(f"| **{name}** {first.claim} ({first.unit}) | {' | '.join(cells)} |")
    marks = ", ".join(f"{mark} {verdict}" for verdict, mark in MARKS.items())
    return [*lines, "", f"{marks}. {_meaning(facets)}"]


def finding_cell(finding: Finding) -> str:
    """Verdict, estimate and interval of one run's finding."""
    return f"{MARKS[finding.verdict]} {finding.estimate:+.2f} [{finding.ci_low:+.2f}, {finding.ci_high:+.2f}]"


def _cell(findings: Sequence[Finding], runs: int) -> str:
    if not findings:
        return "–"
    if runs == 1:
        return finding_cell(findings[0])
    counts = Counter(finding.verdict for finding in findings)
    verdicts = ", ".join(f"{MARKS[verdict]} {counts[verdict]} of {runs}" for verdict in MARKS if counts[verdict])
    return f"{verdicts}; {np.mean([finding.estimate for finding in findings]):+.2f}"


def _meaning(facets: Sequence[Facet]) -> str:
    if all(len(facet.runs) == 1 for facet in facets):
        return "Of each run the estimate and its interval over probe examples."
    return "How many seeds gave which verdict, and the mean of their estimates."
