"""Are the stored findings of a run what its trajectories say? Needs the run directory only, and no torch.

Of a directory of runs that differ in their seed, also what they say together (verify_seeds.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ldyn.errors import RunDirectoryError
from ldyn.findings.claims import find_all
from ldyn.findings.table import findings_table
from ldyn.findings.verify_seeds import judge_together, print_over_seeds, runs_in
from ldyn.records import Finding
from ldyn.store import Run, read_run
from ldyn.store.directory import plain

# Linear algebra libraries may sum in another order, which moves a float64 mean by much less than this.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-6, 1e-9
_COMPARED = ("estimate", "ci_low", "ci_high", "unit", "n", "seeds", "verdict")
_WIDTH = 160  # columns, where the output is no terminal


@dataclass(frozen=True)
class Verification:
    """The findings of one run, computed anew, and how the stored ones stand to them.

    stored: "same", "different", or "absent" (the run is not finished); status: as the manifest says.
    error: why the run could not be read; the rest is then empty.
    """

    path: Path
    status: str
    stored: str
    findings: Sequence[Finding]
    differences: Sequence[str]
    error: str | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether the run is unreadable or what it stores is not what it measured."""
        return self.error is not None or self.stored == "different"


def verify(paths: Sequence[Path], as_json: bool) -> int:
    """Compute the findings of each run anew and print them, as tables or as one JSON object on standard output.

    A path may be a directory of runs: each of them is verified, and those that are finished are judged together.
    Returns 0 if every run could be read and stores what was found (an unfinished run may store nothing yet), else 1.
    A claim that fails is a result and no error, and so are runs that cannot be judged together.
    """
    inside = {path: runs_in(path) for path in paths}
    verifications = [verify_run(run) for path in paths for run in (inside[path] or [path])]
    readable = {one.path for one in verifications if one.error is None}
    together = [
        one for path, runs in inside.items() for one in judge_together(path, [run for run in runs if run in readable])
    ]
    if as_json:
        agrees = not any(one.is_wrong for one in verifications)
        content = {"runs": verifications, "over_seeds": together, "agrees": agrees}
        print(json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=_WIDTH)
        for verification in verifications:
            _print(verification, console)
        for one in together:
            print_over_seeds(one, console)
    return int(any(verification.is_wrong for verification in verifications))


def verify_run(path: Path) -> Verification:
    """Compute the findings of one run anew and compare them with those it stores."""
    try:
        run = read_run(path)
    except RunDirectoryError as error:
        return Verification(path, "unreadable", "absent", [], [], str(error))
    findings = find_all(run.trajectories, run.stages, run.planned_steps, run.tables)
    return _compare(run, findings)


def _compare(run: Run, findings: Sequence[Finding]) -> Verification:
    status = str(run.manifest.get("status", "unknown"))
    if not (run.path / "findings.json").exists():
        if run.is_partial:
            return Verification(run.path, status, "absent", findings, [])
        return Verification(run.path, status, "different", findings, ["the run is finished but has no findings.json"])
    found = differences(run.findings, findings)
    return Verification(run.path, status, "different" if found else "same", findings, found)


def differences(stored: Sequence[Finding], computed: Sequence[Finding]) -> list[str]:
    """In words, every way in which the stored findings are not the computed ones; numbers up to rounding."""
    before, now = {finding.id: finding for finding in stored}, {finding.id: finding for finding in computed}
    found = [f"{name} is stored, but the trajectories do not give it" for name in before if name not in now]
    found += [f"{name} is not stored, but the trajectories give it" for name in now if name not in before]
    if len(before) < len(stored):
        found.append("an id is stored more than once")
    for name in (name for name in now if name in before):
        pairs = ((field, getattr(before[name], field), getattr(now[name], field)) for field in _COMPARED)
        found += [f"{name}: {field} is stored as {a!r}, now {b!r}" for field, a, b in pairs if not _same(a, b)]
    return found


def _same(stored: Any, computed: Any) -> bool:
    if isinstance(stored, (int, float)) and isinstance(computed, (int, float)):
        both_absent = math.isnan(stored) and math.isnan(computed)
        return both_absent or math.isclose(stored, computed, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    return bool(stored == computed)


def _print(verification: Verification, console: Console) -> None:
    if verification.error is not None:
        console.print(f"[bold red]unreadable[/] {escape(verification.error)}", soft_wrap=True)
        return
    title = f"{verification.path} ({verification.status})"
    if verification.findings:
        console.print(findings_table(verification.findings, title))
    else:
        console.print(f"{escape(title)}: no claim can be tested on what was measured so far", soft_wrap=True)
    for difference in verification.differences:
        console.print(f"[bold red]differs[/] {escape(difference)}", soft_wrap=True)
    if verification.stored != "different":
        say = {"same": "The stored findings are what the trajectories say.", "absent": "No findings are stored yet."}
        console.print(say[verification.stored])
