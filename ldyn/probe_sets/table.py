"""What a build came to, for a terminal."""

from __future__ import annotations

from collections import Counter

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ldyn.probe_sets.job import ProbeSetBuild
from ldyn.records import PROBE_FAMILIES


def built_table(build: ProbeSetBuild) -> Table:
    """Probe by probe: how many rows of each split have it, and why the others do not."""
    table = Table(title="Probe set", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("probe", no_wrap=True)
    table.add_column("what")
    for split, rows in build.examples.items():
        table.add_column(f"{split} ({len(rows)})", justify="right", no_wrap=True)
    table.add_column("left out", overflow="fold")
    for probe in _probes(build):
        numbers = [str(sum(probe in one.responses for one in rows)) for rows in build.examples.values()]
        table.add_row(probe, PROBE_FAMILIES[probe].label, *numbers, _left_out(build, probe))
    return table


def rows_lacking(build: ProbeSetBuild) -> int:
    """Rows without a probe that other rows of their split have."""
    return sum(
        len(one.responses) < len({probe for other in rows for probe in other.responses})
        for rows in build.examples.values()
        for one in rows
    )


def _probes(build: ProbeSetBuild) -> list[str]:
    had = {probe for rows in build.examples.values() for one in rows for probe in one.responses}
    tried = {key.rpartition(".")[2] for key in build.counts if "." in key}
    return [probe for probe in PROBE_FAMILIES if probe in had | tried]


def _left_out(build: ProbeSetBuild, probe: str) -> str:
    reasons: Counter[str] = Counter()
    for key, number in build.counts.items():
        parts = key.split(".")
        if parts[-1] == probe and parts[1] in ("dropped", "not_constructible"):
            reasons[parts[2] if parts[1] == "dropped" else "none fits"] += number
    return ", ".join(f"{number} {reason.replace('_', ' ')}" for reason, number in reasons.most_common())
