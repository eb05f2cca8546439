"""Findings as rows of text, which all tables are made of, and as a table for a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ldyn.findings.judging import SECONDARY
from ldyn.findings.variance import Components
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, NO_EFFECT, NOT_JUDGED, THIS_RUN, Finding, FindingOverSeeds

MARKS = {HOLDS: "✓", FAILS: "✗", NO_EFFECT: "○", INCONCLUSIVE: "?", THIS_RUN: "·"}
STYLES = {HOLDS: "bold green", FAILS: "bold red", NO_EFFECT: "yellow", INCONCLUSIVE: "yellow"}
OVER_SEEDS_NOTE = (
    "95 % intervals over seeds, not corrected; p-values are one-sided, then corrected for the claim's family; "
    "seeds needed: for 80 % power at the effect measured"
)


def number(value: float | None, sign: bool = False) -> str:
    """Three significant digits, at most four decimals, a true minus sign; "–" for what is not a number."""
    if value is None or not math.isfinite(value):
        return "–"
    size, plus = abs(value), "+" if sign else ""
    if 0 < size < 5e-4:
        return f"{value:{plus}.1e}".replace("-", "−")
    decimals = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 4
    return f"{value:{plus},.{decimals}f}".replace("-", "−")


def finding_row(finding: Finding | FindingOverSeeds) -> dict[str, str]:
    """The texts of a finding for a table: id, claim, unit, estimate, interval, n, verdict, mark, reason, paper.

    interval is empty where there is none. Over seeds also alone (seeds on the claimed side), p, needed.
    """
    known = math.isfinite(finding.ci_low) and math.isfinite(finding.ci_high)
    row = {
        "id": finding.id,
        "claim": finding.claim,
        "unit": finding.unit,
        "estimate": number(finding.estimate, sign=True),
        "interval": f"[{number(finding.ci_low, sign=True)}, {number(finding.ci_high, sign=True)}]" if known else "",
        "mark": MARKS.get(finding.verdict, "·"),
        "verdict": finding.verdict,
        "reason": finding.reason,
        "paper": finding.paper,
    }
    seeds = f"{finding.seeds} seed{'s' * (finding.seeds != 1)}"
    if isinstance(finding, FindingOverSeeds):
        alone = f"{finding.agreeing} of {finding.n} as claimed"
        p = "–" if math.isnan(finding.p_value) else f"{finding.p_value:.2g}, {finding.p_adjusted:.2g}"
        needed = "–" if math.isnan(finding.seeds_needed) else f"{finding.seeds_needed:.0f}"
        return row | {"n": seeds, "alone": alone, "p": p, "needed": needed}
    if finding.verdict == NOT_JUDGED:
        return row | {"n": "no estimate"}
    n = "mean only" if math.isfinite(finding.estimate) and not finding.n else f"n = {finding.n}"
    return row | {"n": n if finding.seeds == 1 else f"{n}, {seeds}"}


def findings_table(findings: Sequence[Finding] | Sequence[FindingOverSeeds], title: str = "Findings") -> Table:
    """One row for each finding: id, claim, estimate with interval and unit, verdict, reason."""
    over_seeds = any(isinstance(finding, FindingOverSeeds) for finding in findings)
    table = Table(title=escape(title), show_lines=True, caption=_caption(findings))
    table.add_column("id", style="bold", no_wrap=True)
    table.add_column("claim", ratio=3)
    table.add_column("estimate [95 % interval]", ratio=2)
    for name in ("single seeds", "p, corrected", "seeds needed") if over_seeds else ():
        table.add_column(name, ratio=1)
    table.add_column("verdict", no_wrap=True)
    table.add_column("parts", ratio=5)
    for finding in findings:
        row = {name: escape(text) for name, text in finding_row(finding).items()}
        estimate = " ".join(filter(None, (row["estimate"], row["interval"], row["unit"], f"({row['n']})")))
        seeds = [row["alone"], row["p"], row["needed"]] if over_seeds else []
        verdict = f"[{STYLES.get(finding.verdict, 'dim')}]{row['verdict']}[/]"
        reason = row["reason"] if over_seeds else row["reason"].partition(SECONDARY)[0]  # the report has them
        table.add_row(row["id"], row["claim"], estimate, *seeds, verdict, reason)
    return table


VARIANCE_HEAD = ("quantity (nats)", "claims", "mean", "between worlds", "within a world", "share between worlds")
VARIANCE_NOTE = (
    "Standard deviations: between worlds (facts, language, base model), and within a world (pairs, order). "
    "In brackets the 95 % interval of the share of the variance that lies between worlds"
)


def variance_rows(found: Sequence[Components]) -> list[list[str]]:
    """The cells of a table with VARIANCE_HEAD."""
    return [
        [
            one.quantity,
            ", ".join(one.claims),
            number(one.mean, sign=True),
            number(one.between),
            number(one.within),
            f"{one.share:.0%} [{one.share_low:.0%}, {one.share_high:.0%}]" if math.isfinite(one.share_low) else "–",
        ]
        for one in found
    ]


def variance_table(found: Sequence[Components], title: str) -> Table:
    """One row for each quantity."""
    about = f"{found[0].runs} runs in {found[0].worlds} worlds. {VARIANCE_NOTE}."
    table = Table(*VARIANCE_HEAD, title=escape(title), caption=about)
    for row in variance_rows(found):
        table.add_row(*map(escape, row))
    return table


def _caption(findings: Sequence[Finding] | Sequence[FindingOverSeeds]) -> str:
    counts = Counter(finding.verdict for finding in findings)
    if counts[NOT_JUDGED]:
        return f"{counts[NOT_JUDGED]} claims are not judged: a log of batch means has no numbers on them."
    counted = ", ".join(f"{counts[verdict]} {verdict}" for verdict in MARKS if counts[verdict])
    if any(isinstance(finding, FindingOverSeeds) for finding in findings):
        return f"{counted}. {OVER_SEEDS_NOTE}"
    if max((finding.seeds for finding in findings), default=1) == 1:
        return "This run: intervals are over its probe examples. A verdict takes several seeds: ldyn verify SWEEP."
    return f"{counted}. Intervals are over n seeds, or n draws under several seeds."
