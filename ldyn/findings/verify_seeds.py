"""What the runs in one directory say together: findings over seeds, for each setting of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ldyn.errors import RunDirectoryError
from ldyn.findings.over_seeds import findings_over_seeds
from ldyn.findings.seed_runs import by_setting
from ldyn.findings.seeds_table import over_seeds_table
from ldyn.records import FindingOverSeeds
from ldyn.store import Run, read_run
from ldyn.store.sweeps import run_directories


@dataclass(frozen=True)
class OverSeeds:
    """Findings over the finished ``runs`` of one setting in the directory ``path``.

    setting: in what they differ from the directory's other runs besides the seed, "" where there are no others.
    error: why they cannot be judged together; there are then no findings.
    """

    path: Path
    setting: str
    runs: Sequence[str]
    findings: Sequence[FindingOverSeeds]
    error: str | None = None


def runs_in(path: Path) -> list[Path]:
    """The runs in the directory ``path`` that have begun; none where it is a run itself."""
    if (path / "manifest.json").exists():
        return []
    return [directory.resolve() for directory in run_directories(path) if (directory / "manifest.json").exists()]


def judge_together(path: Path, directories: Sequence[Path]) -> list[OverSeeds]:
    """What the runs ``directories`` in ``path`` say, setting by setting; runs that have not finished are left out."""
    runs = [run for run in map(read_run, directories) if not run.is_partial]
    return [_over_seeds(path, setting, group) for setting, group in by_setting(runs).items()]


def _over_seeds(path: Path, setting: str, runs: Sequence[Run]) -> OverSeeds:
    names = [run.path.name for run in runs]
    try:
        return OverSeeds(path, setting, names, findings_over_seeds({str(runs[0].manifest.get("name")): runs}))
    except RunDirectoryError as error:
        return OverSeeds(path, setting, names, [], str(error))


def print_over_seeds(one: OverSeeds, console: Console) -> None:
    """The findings as a table, or why there are none."""
    title = f"{one.path}: findings over seeds, runs {', '.join(one.runs)}"
    title = f"{title} ({one.setting})" if one.setting else title
    if one.findings:
        console.print(over_seeds_table(one.findings, title))
    else:
        console.print(f"{escape(title)}: none. {escape(one.error or 'No claim is measured')}", soft_wrap=True)
