"""The report of one run: figures and ``report.html``, from the files of its directory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ldyn.errors import RunDirectoryError
from ldyn.report.arms import arm_changes
from ldyn.report.chart import chart_data
from ldyn.report.curves import BATCH_WARNING, batch_curves, summarise
from ldyn.report.figures import Figure, Material, draw_figures
from ldyn.report.html import attempt, data_url, render
from ldyn.report.sections import change_tables, finding_rows, sample_section, verdict_counts
from ldyn.report.what_ran import WARNINGS, commands, facts, stage_lines
from ldyn.report.wins import win_rates, win_tables
from ldyn.store import Run, read_run
from ldyn.store.batch_logs import BATCH_MEANS
from ldyn.store.directory import changed_tables
from ldyn.store.files import write_atomically
from ldyn.store.reader import find_run

REPORT_FILE = "report.html"
FIGURES_DIR = "figures"
_SCRIPTS = ("chart_scale.js", "chart_draw.js", "chart_controls.js")


def build_report(run_path: Path, reference_path: Path | None = None) -> Path:
    """Write ``figures/*.png`` and ``report.html`` into the run directory; returns the path of the page.

    reference_path: another run, compared with this one in an additional figure.
    Works on unfinished runs: the page names what is missing. A part that cannot be made of damaged data says so.
    Needs no torch. Raises RunDirectoryError where the directory holds no run or a file of it cannot be read.
    """
    run = read_run(run_path)
    reference = material_of(read_run(reference_path)) if reference_path else None
    figures, sections = _sections(run, reference)
    # A lone surrogate, which JSON can put into a sample, has no UTF-8: it becomes a question mark.
    page = render("report.html", scripts=_SCRIPTS, **sections).encode("utf-8", errors="replace")
    return _write(run_path, {f"{FIGURES_DIR}/{one.name}": one.picture for one in figures} | {REPORT_FILE: page})


def _sections(run: Run, reference: Material | None) -> tuple[list[Figure], dict[str, Any]]:
    """The figures, and what the template shows. ``problems``: which parts could not be made, and why."""
    problems = [f"{message}." for message in changed_tables(run.path, run.manifest)]
    is_batches = BATCH_MEANS in run.tables
    if is_batches:
        problems.append(BATCH_WARNING)

    def part(name: str, make: Callable[[], Any], otherwise: Any) -> Any:
        made = attempt(make)
        if isinstance(made, str):
            problems.append(f"The {name} could not be made: {made}.")
        return otherwise if isinstance(made, str) else made

    nothing = Material(summarise(run.trajectories.iloc[:0]), (), is_study=run.is_study)
    material = part("curves", lambda: material_of(run, reference), nothing)
    figures, notes = draw_figures(material)
    measured, wins = {stage.name for stage in material.stages}, run.tables.get("wins", pd.DataFrame())
    status = str(run.manifest.get("status", "unknown"))
    return figures, {
        "is_study": run.is_study,
        "is_batches": is_batches,
        "name": str(run.manifest.get("name", run.path.name)),
        "run": str(run.manifest.get("run", run.path.name)),
        "status": status,
        "warning": WARNINGS.get(status, ""),
        "remarks": part("notes", lambda: list(map(str, run.manifest.get("notes") or [])), []),
        "facts": part("account of what ran", lambda: facts(run), {}),
        "stages": part("list of stages", lambda: stage_lines(run, measured), []),
        "notes": notes,
        "findings": part("findings", lambda: finding_rows(run.findings), []),
        "verdicts": verdict_counts(run.findings),
        "chart": part("chart", lambda: chart_data(material.curves, material.stages), {"stages": []}),
        "numbers": part("table of changes", lambda: change_tables(material), []),
        "figures": [{"figure": figure, "source": data_url(figure.picture)} for figure in figures],
        "wins": part("win rates", lambda: list(win_tables(win_rates(wins))) if len(wins) else [], []),
        "samples": part("samples", lambda: sample_section(run), {"cards": []}),
        "files": {
            "config.yaml": run.config_text,
            "manifest.json": json.dumps(run.manifest, indent=2, ensure_ascii=False),
        },
        "commands": part("commands", lambda: commands(run), []),
        "problems": problems,
    }


def _write(run_path: Path, files: Mapping[str, bytes]) -> Path:
    """Write into the run's directory, which may be renamed meanwhile: a run that ends is published."""
    for attempts_left in (2, 1, 0):
        directory = find_run(run_path)
        try:
            for name, content in files.items():
                write_atomically(directory / name, content)
            break
        except RunDirectoryError:
            if directory.is_dir() or not attempts_left:
                raise
    return directory / REPORT_FILE


def material_of(run: Run, reference: Material | None = None) -> Material:
    """What the figures of a run are drawn from."""
    batches = run.tables.get(BATCH_MEANS)
    curves = summarise(run.trajectories) if batches is None else batch_curves(batches)
    evaluated = tuple(stage for stage in run.stages if stage.name in set(curves["stage"]))
    name = f"{run.manifest.get('name', '')} {run.manifest.get('run', run.path.name)}".strip()
    arms = arm_changes(run.trajectories, evaluated, run.tables.get("passes"))
    return Material(curves, evaluated, run.tables, arms, run.is_study, name, reference)
