"""Findings over seeds as a Markdown table, one for each setting of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ldyn.findings.over_seeds import findings_over_seeds
from ldyn.findings.seeds_table import CAPTION, alone_text, p_text
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, FindingOverSeeds
from ldyn.store import Run

_MARKS = {HOLDS: "✓", FAILS: "✗", INCONCLUSIVE: "?"}


def over_seeds_lines(settings: Mapping[str, Sequence[Run]]) -> list[str]:
    """A table for each setting: what runs of one experiment differ in besides their seed ("" for nothing) -> runs."""
    lines = ["## Findings over seeds"]
    for setting, group in settings.items():
        name = str(group[0].manifest.get("name", ""))
        lines += ["", *([f"### {setting}", ""] if setting else []), *_table(findings_over_seeds({name: group}))]
    return [*lines, "", f"{CAPTION}. The reasons: `ldyn verify` of this directory."]


def _table(findings: Sequence[FindingOverSeeds]) -> list[str]:
    head = ["| claim | over seeds | single seeds | p, corrected | verdict |", "|---" * 5 + "|"]
    return [*head, *map(_row, findings)]


def _row(one: FindingOverSeeds) -> str:
    interval = f" [{one.ci_low:+.2f}, {one.ci_high:+.2f}]" if one.ci_low == one.ci_low else ""
    estimate = f"{one.estimate:+.2f}{interval} ({one.seeds} seed{'s' * (one.seeds != 1)})"
    verdict = f"{_MARKS[one.verdict]} {one.verdict}"
    return f"| **{one.id}** {one.claim} ({one.unit}) | {estimate} | {alone_text(one)} | {p_text(one)} | {verdict} |"
