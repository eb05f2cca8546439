"""The runs of a sweep side by side: findings and arms, for each combination of the swept values over its seeds.

Reads run directories only and needs no torch. Writes ``arms.png`` and ``comparison.md`` beside the runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ldyn.errors import RunDirectoryError
from ldyn.report.facets import Facet, facets_of
from ldyn.report.facets_table import MARKS, facets_table, finding_cell
from ldyn.report.over_seeds import over_seeds_lines
from ldyn.report.sweep_arms import arms_lines
from ldyn.report.wins_over_seeds import wins_over_seeds
from ldyn.store import PARTIAL_SUFFIX, Run, read_run
from ldyn.store.files import write_atomically
from ldyn.store.sweep_states import job_states, unfinished_lines
from ldyn.store.sweeps import SWEEP_FILE, run_directories

COMPARISON_FILE = "comparison.md"


def is_sweep(path: Path) -> bool:
    """Whether ``path`` is no run itself but holds runs, or the plan of some."""
    return not (path / "manifest.json").exists() and bool(run_directories(path) or (path / SWEEP_FILE).exists())


def compare_sweep(path: Path) -> Path:
    """Compare the finished runs in ``path``; returns the path of the page that was written.

    Jobs that have not finished are listed with their errors, and the command that goes on. Raises RunDirectoryError
    where the runs cannot be compared (``ldyn.report.facets``), or fewer than two of them have finished.
    """
    unfinished = unfinished_lines(path, job_states(path))
    runs = [read_run(directory) for directory in run_directories(path) if not directory.name.endswith(PARTIAL_SUFFIX)]
    if len(runs) < 2:
        few = f"{path} holds {len(runs)} finished runs, expected at least 2 to compare."
        raise RunDirectoryError("\n".join([few, *unfinished]))
    facets = facets_of(path, runs)
    lines = [f"# {runs[0].manifest['name']}: {len(runs)} runs", "", *_findings(facets), ""]
    lines += [*over_seeds_lines({facet.name: facet.runs for facet in facets}), *arms_lines(facets, path)]
    if len(facets) == 1:
        lines += wins_over_seeds(runs, path)
    if unfinished:
        lines += ["", "## Not finished, and left out", "", *unfinished]
    target = path / COMPARISON_FILE
    write_atomically(target, ("\n".join(lines) + "\n").encode())
    return target


def _findings(facets: Sequence[Facet]) -> list[str]:
    """The findings of each facet over its seeds; of several facets, first all of them side by side."""
    if len(facets) == 1:
        return _findings_table(facets[0].runs)
    lines = facets_table(facets)
    for facet in facets:
        if len(facet.runs) > 1:
            lines += ["", f"## {facet.name}", "", *_findings_table(facet.runs)]
    return lines


def _seed(run: Run) -> str:
    return f"seed {run.manifest['seed']}"


def _findings_table(runs: Sequence[Run]) -> list[str]:
    found = [{finding.id: finding for finding in run.findings} for run in runs]
    ids = list(dict.fromkeys(name for one in found for name in one))
    lines = [f"| claim | {' | '.join(map(_seed, runs))} | verdicts |", "|---" * (len(runs) + 2) + "|"]
    for name in ids:
        findings = [one[name] for one in found if name in one]
        title = f"**{name}** {findings[0].claim} ({findings[0].unit})"
        cells = [finding_cell(one[name]) if name in one else "–" for one in found]
        counts = Counter(finding.verdict for finding in findings).most_common()
        verdicts = ", ".join(f"{verdict} in {count} of {len(runs)}" for verdict, count in counts)
        lines.append(f"| {title} | {' | '.join(cells)} | {verdicts} |")
    marks = ", ".join(f"{mark} {verdict}" for verdict, mark in MARKS.items())
    return [*lines, "", f"{marks}; intervals over probe examples. {_wall_times(runs)}."]


def _wall_times(runs: Sequence[Run]) -> str:
    seconds = [sum(s for part, s in run.manifest["seconds"].items() if part != "probing") for run in runs]
    memory = max(run.manifest["peak_memory_mib"] for run in runs)
    return f"Wall time {', '.join(f'{s:.0f} s' for s in seconds)}, peak memory at most {memory} MiB"
