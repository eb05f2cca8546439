"""The table of all claims (the paper, others' logs, ours over seeds), and what did not come out as in the paper."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files

import yaml

from ldyn.findings import CLAIMS
from ldyn.records import HOLDS, FindingOverSeeds
from ldyn.report.results.reproduction import Reproduction
from ldyn.report.results.text import estimate, interval, mark, table

EXPLAINED_SCALE = "tiny"
"""The scale that the explanations are about."""


def claims_section(reproduction: Reproduction) -> str:
    """Every claim that ldyn knows has a row, measured or not."""
    found = {one.id: one for one in reproduction.findings}
    head = [
        "",
        "claim",
        "the paper",
        *reproduction.logs,
        "here",
        "held / failed / open alone",
        "p, corrected",
        "verdict",
    ]
    rows = [_row(name, reproduction, found.get(name)) for name in CLAIMS]
    counts = Counter(one.verdict for one in found.values())
    seeds = len(reproduction.state["seeds"])
    counted = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    about = (
        f"Here: the mean over {seeds} seeds (of a study: over its own) with a 95 % interval; the verdict is corrected "
        f"for all {len(found)} claims that were measured. {counted}."
    )
    return "\n".join(["## All claims", "", about, "", *table(head, rows)])


def _row(name: str, reproduction: Reproduction, one: FindingOverSeeds | None) -> Sequence[str]:
    claim = CLAIMS[name]
    logs = [_of_logs(name, reproduction, log) for log in reproduction.logs]
    start = [f"**{name}**", f"{claim.text} ({claim.number})", claim.paper, *logs]
    if one is None:
        return [*start, "not measured", "–", "–", "–"]
    alone = "–" if one.held is None else f"{one.held} / {one.failed} / {one.open}"
    shown = interval(one.estimate, one.ci_low, one.ci_high)
    p_value = "–" if math.isnan(one.p_adjusted) else f"{one.p_adjusted:.2g}"
    return [*start, shown, alone, p_value, f"{mark(one.verdict)} {one.verdict}"]


def _of_logs(name: str, reproduction: Reproduction, log: str) -> str:
    found = next((one for one in reproduction.logs[log].findings if one.id == name), None)
    return "–" if found is None else f"{mark(found.verdict)} {estimate(found)}"


def misses_section(reproduction: Reproduction) -> str:
    """Each claim that is not established: the reason that was calculated, then what people think why."""
    lines = ["## What did not come out as in the paper"]
    explanations = _explanations() if reproduction.state["scale"] == EXPLAINED_SCALE else {}
    for one in reproduction.findings:
        if one.verdict != HOLDS:
            lines += ["", f"**{one.id}** ({one.verdict}). {one.reason}"]
            if one.id in explanations:
                lines += ["", f"> Likely: {explanations[one.id].strip()}"]
    return "\n".join(lines)


def _explanations() -> dict[str, str]:
    text = files("ldyn.report.results").joinpath("explanations.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)  # type: ignore[no-any-return]
