"""Computes the findings of runs again and compares them with the stored ones. Needs run directories only, no torch.

For a directory of runs it also computes the findings over seeds, for each setting of a sweep.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ldyn.errors import RunDirectoryError
from ldyn.findings import find_all
from ldyn.findings.preconditions import preconditions
from ldyn.findings.tables import findings_table, variance_table
from ldyn.findings.together import OverSeeds, judge_together
from ldyn.findings.variance import variance_components
from ldyn.records import NOT_JUDGED, Finding
from ldyn.store import Run, read_run
from ldyn.store.directory import changed_tables, plain
from ldyn.store.sweeps import run_directories

# Linear algebra libraries may sum in another order, which moves a float64 mean by much less than this.
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-6, 1e-9
_COMPARED = ("estimate", "ci_low", "ci_high", "unit", "n", "seeds", "verdict")
_STORED = {
    "same": "The stored findings agree with the trajectories.",
    "absent": "No findings are stored yet.",
    "earlier rules": "The stored findings follow earlier rules. Shown are those of the present rules.",
}
_WIDTH = 160  # columns, where the output is not a terminal


@dataclass(frozen=True)
class Verification:
    """The findings of one run, computed again, and how the stored ones compare.

    stored: "same", "different", "earlier rules", or "absent" (the run is not finished); status: of the manifest.
    preconditions: what squeezing needs, in words, for the first stage and each that compares pairs.
    error: why the run could not be read; the rest is then empty.
    """

    path: Path
    status: str
    stored: str
    findings: Sequence[Finding]
    differences: Sequence[str]
    error: str | None = None
    preconditions: Sequence[str] = ()

    @property
    def is_wrong(self) -> bool:
        """Whether the run is unreadable or what it stores is not what it measured."""
        return self.error is not None or self.stored == "different"


def verify(paths: Sequence[Path], as_json: bool) -> int:
    """Compute the findings of each run again and print them, as tables or as one JSON object on standard output.

    A path may be a directory of runs: each of them is verified, and the finished ones are judged together.
    Returns 0 if every run could be read and stores what was found (an unfinished run may store nothing yet), else 1.
    """
    inside = {path: runs_in(path) for path in paths}
    verifications = [verify_run(run) for path in paths for run in (inside[path] or [path])]
    readable = {one.path for one in verifications if one.error is None}
    finished = {
        path: [run for run in map(read_run, filter(readable.__contains__, runs)) if not run.is_partial]
        for path, runs in inside.items()
    }
    together = [one for path, runs in finished.items() for one in judge_together(path, runs)]
    variances = {path: found for path, runs in finished.items() if (found := variance_components(runs))}
    if as_json:
        agrees = not any(one.is_wrong for one in verifications)
        of_worlds = {str(path): found for path, found in variances.items()}
        content = {"runs": verifications, "over_seeds": together, "variance": of_worlds, "agrees": agrees}
        print(json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=_WIDTH)
        for verification in verifications:
            _print(verification, console)
        for one in together:
            _print_over_seeds(one, console)
        for path, components in variances.items():
            console.print(variance_table(components, f"{path}: where the variance between runs comes from"))
    return int(any(verification.is_wrong for verification in verifications))


def verify_run(path: Path) -> Verification:
    """Compute the findings of one run again and compare them with those it stores."""
    try:
        run = read_run(path)
    except RunDirectoryError as error:
        return Verification(path, "unreadable", "absent", [], [], str(error))
    changed = changed_tables(run.path, run.manifest)
    try:
        findings = find_all(run.trajectories, run.stages, run.planned_steps, run.tables)
    except Exception as error:
        if not changed:
            raise
        damage = f"{'; '.join(changed)}, and no findings can be computed ({type(error).__name__}: {error})"
        return Verification(path, "unreadable", "absent", [], [], f"{damage}. Copy the run again.")
    needed = [str(one) for one in preconditions(run.trajectories, run.stages)]
    return replace(_compare(run, findings, changed), preconditions=needed)


def _compare(run: Run, findings: Sequence[Finding], changed: Sequence[str]) -> Verification:
    status = str(run.manifest.get("status", "unknown"))
    if not run.has_findings:
        if run.is_partial:
            return Verification(run.path, status, "absent", findings, [])
        return Verification(run.path, status, "different", findings, ["the run is finished but has no findings.json"])
    if run.findings and not any(one.parts or one.verdict == NOT_JUDGED for one in run.findings):
        return Verification(run.path, status, "different" if changed else "earlier rules", findings, changed)
    found = [*changed, *differences(run.findings, findings)]
    return Verification(run.path, status, "different" if found else "same", findings, found)


def differences(stored: Sequence[Finding], computed: Sequence[Finding]) -> list[str]:
    """Every difference between stored and computed findings; numbers up to rounding."""
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
        console.print(f"{escape(title)}: nothing measured so far tests a claim", soft_wrap=True)
    for line in verification.preconditions:
        console.print(line, soft_wrap=True, highlight=False)
    for difference in verification.differences:
        console.print(f"[bold red]differs[/] {escape(difference)}", soft_wrap=True)
    if verification.stored in _STORED:
        console.print(_STORED[verification.stored])


def runs_in(path: Path) -> list[Path]:
    """The runs in the directory ``path`` that have begun; none where it is a run itself."""
    if (path / "manifest.json").exists():
        return []
    return [directory.resolve() for directory in run_directories(path) if (directory / "manifest.json").exists()]


def _print_over_seeds(one: OverSeeds, console: Console) -> None:
    title = f"{one.path}: findings over seeds, runs {', '.join(one.runs)}"
    title = f"{title} ({one.setting})" if one.setting else title
    if one.findings:
        console.print(findings_table(one.findings, title))
    else:
        console.print(f"{escape(title)}: none. {escape(one.error or 'No claim is measured')}", soft_wrap=True)
