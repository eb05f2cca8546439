"""The way from a run directory to its report."""

from __future__ import annotations

from pathlib import Path

from ldyn.report.arms import arm_changes
from ldyn.report.curves import summarise
from ldyn.report.figures import Material, draw_figures
from ldyn.report.page import render_page
from ldyn.store import Run, read_run
from ldyn.store.files import write_atomically

REPORT_FILE = "report.html"
FIGURES_DIR = "figures"


def build_report(run_path: Path, reference_path: Path | None = None) -> Path:
    """Writes ``figures/*.png`` and ``report.html`` into the run directory from its files only; returns the page's path.

    reference_path: another run, to be laid beside this one in a figure more.
    Works on unfinished runs: what there is is drawn, what is missing is named on the page. Needs no torch.
    Raises RunDirectoryError where the directory holds no run or a file of it is broken.
    """
    run = read_run(run_path)
    reference = _material(read_run(reference_path)) if reference_path else None
    material = _material(run, reference)
    figures, notes = draw_figures(material, run.path / FIGURES_DIR)
    page = render_page(run, material.curves, material.stages, figures, notes)
    report = run.path / REPORT_FILE
    # A lone surrogate, which JSON can smuggle into a sample, has no UTF-8: it becomes a question mark.
    write_atomically(report, page.encode("utf-8", errors="replace"))
    return report


def _material(run: Run, reference: Material | None = None) -> Material:
    curves = summarise(run.trajectories)
    evaluated = tuple(stage for stage in run.stages if stage.name in set(curves["stage"]))
    name = f"{run.manifest.get('name', '')} {run.manifest.get('run', run.path.name)}".strip()
    arms = arm_changes(run.trajectories, evaluated)
    return Material(curves, evaluated, run.tables, arms, run.is_study, name, reference)
