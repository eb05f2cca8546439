"""Rendering ``report.html``: one file that makes no request, in which every text from the run is escaped."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup

from ldyn.records import StageInfo
from ldyn.report.chains import stage_title
from ldyn.report.figures import Figure
from ldyn.report.html import content_policy, data_url, page_environment, source_text
from ldyn.report.interactive import chart_data
from ldyn.report.sections.findings import finding_rows, verdict_counts
from ldyn.report.sections.numbers import change_tables
from ldyn.report.sections.samples import sample_section
from ldyn.report.sections.settings import reproduce, settings_tables, stage_settings, what_ran
from ldyn.report.sections.wins import win_tables
from ldyn.store import Run

_SCRIPTS = ("chart_scale.js", "chart_draw.js", "chart_controls.js")


def render_page(
    run: Run, curves: pd.DataFrame, evaluated: Sequence[StageInfo], figures: Sequence[Figure], notes: Sequence[str]
) -> str:
    """The page as text. evaluated: the stages that have curves; notes: what could not be drawn, and why."""
    environment = page_environment()
    environment.globals["stage_title"] = stage_title
    style = source_text(environment, "report.css")
    script = "".join(source_text(environment, name) for name in _SCRIPTS)
    return environment.get_template("report.html").render(
        style=Markup(style),  # noqa: S704 - our own file, no text of the run goes into it
        script=Markup(script),  # noqa: S704 - the same
        policy=content_policy(style, script),
        is_study=run.is_study,
        run=what_ran(run, evaluated),
        notes=notes,
        findings=finding_rows(run.findings),
        verdicts=verdict_counts(run.findings),
        chart=chart_data(curves, evaluated),
        numbers=change_tables(curves, evaluated),
        figures=[{"figure": figure, "source": data_url(figure.path)} for figure in figures],
        wins=win_tables(run),
        samples=sample_section(run),
        settings=settings_tables(run.manifest),
        stage_settings=stage_settings(run.manifest),
        config=run.config_text,
        reproduce=reproduce(run),
    )
