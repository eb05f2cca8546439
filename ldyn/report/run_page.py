"""The report of one run: figures and ``report.html``, from the files of its directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ldyn.errors import LdynError, RunDirectoryError
from ldyn.report.arms import arm_changes
from ldyn.report.chart import chart_data
from ldyn.report.curves import summarise
from ldyn.report.figures import Figure, Material, draw_figures
from ldyn.report.html import data_url, render
from ldyn.report.sections import change_tables, finding_rows, sample_section, verdict_counts
from ldyn.report.settings import reproduce, settings_tables, stage_settings, what_ran
from ldyn.report.wins import win_tables
from ldyn.store import Run, read_run
from ldyn.store.directory import changed_tables
from ldyn.store.files import write_atomically
from ldyn.store.reader import find_run

REPORT_FILE = "report.html"
FIGURES_DIR = "figures"
_SCRIPTS = ("chart_scale.js", "chart_draw.js", "chart_controls.js")


def build_report(run_path: Path, reference_path: Path | None = None) -> Path:
    """Write ``figures/*.png`` and ``report.html`` into the run directory; returns the path of the page.

    reference_path: another run, compared with this one in an additional figure.
    Works on unfinished runs: the page names what is missing. Needs no torch.
    Raises RunDirectoryError where the directory holds no run or a file of it is broken.
    """
    run = read_run(run_path)
    reference = material_of(read_run(reference_path)) if reference_path else None
    try:
        material = material_of(run, reference)
        figures, notes = draw_figures(material)
        # A lone surrogate, which JSON can put into a sample, has no UTF-8: it becomes a question mark.
        page = _page(run, material, figures, notes).encode("utf-8", errors="replace")
    except LdynError:
        raise
    except Exception as error:
        if changed := changed_tables(run.path, run.manifest):
            damage = f"and no report can be drawn of it ({type(error).__name__}: {error})"
            raise RunDirectoryError(f"{'; '.join(changed)}, {damage}. Copy the run again.") from error
        raise
    return _write(run_path, {f"{FIGURES_DIR}/{one.name}": one.picture for one in figures} | {REPORT_FILE: page})


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
    curves = summarise(run.trajectories)
    evaluated = tuple(stage for stage in run.stages if stage.name in set(curves["stage"]))
    name = f"{run.manifest.get('name', '')} {run.manifest.get('run', run.path.name)}".strip()
    arms = arm_changes(run.trajectories, evaluated)
    return Material(curves, evaluated, run.tables, arms, run.is_study, name, reference)


def _page(run: Run, material: Material, figures: Sequence[Figure], notes: Sequence[str]) -> str:
    """notes: what could not be drawn, and why."""
    return render(
        "report.html",
        scripts=_SCRIPTS,
        is_study=run.is_study,
        run=what_ran(run, material.stages),
        notes=notes,
        findings=finding_rows(run.findings),
        verdicts=verdict_counts(run.findings),
        chart=chart_data(material.curves, material.stages),
        numbers=change_tables(material.curves, material.stages),
        figures=[{"figure": figure, "source": data_url(figure.picture)} for figure in figures],
        wins=win_tables(run),
        samples=sample_section(run),
        settings=settings_tables(run.manifest),
        stage_settings=stage_settings(run.manifest),
        config=run.config_text,
        reproduce=reproduce(run),
    )
