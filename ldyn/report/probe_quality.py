"""The report of a quality check: one page and the length histograms, in the look of a run's report."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

from markupsafe import Markup

from ldyn.probes.quality import QualityReport
from ldyn.probes.quality_table import as_object, summary_line
from ldyn.report.figures.gallery import figure_settings
from ldyn.report.figures.lengths import length_histograms
from ldyn.report.html import content_policy, data_url, page_environment, source_text
from ldyn.report.sections.text import number
from ldyn.store.files import write_atomically

REPORT_FILE = "report.html"
FINDINGS_FILE = "quality.json"


def write_quality_report(report: QualityReport, directory: Path) -> Path:
    """Write ``report.html``, ``lengths_<split>.png`` and ``quality.json`` into ``directory``; returns the page's
    path.
    """
    figures = [(split, _write_histograms(report, split, directory)) for split in _splits(report)]
    page = directory / REPORT_FILE
    write_atomically(directory / FINDINGS_FILE, (json.dumps(as_object(report), indent=1) + "\n").encode())
    write_atomically(page, _page(report, figures).encode("utf-8", errors="replace"))
    return page


def _splits(report: QualityReport) -> list[str]:
    return list(dict.fromkeys(one.split for one in report.lengths))


def _write_histograms(report: QualityReport, split: str, directory: Path) -> Path:
    picture = BytesIO()
    with figure_settings():
        length_histograms(report.lengths, split).savefig(picture, format="png", metadata={"Software": None})
    path = directory / f"lengths_{split}.png"
    write_atomically(path, picture.getvalue())
    return path


def _page(report: QualityReport, figures: list[tuple[str, Path]]) -> str:
    environment = page_environment()
    environment.filters["number"] = number
    style = source_text(environment, "report.css")
    found = {check: [one for other, one in report.findings if other is check] for check, _ in report.findings}
    return environment.get_template("probe_quality.html").render(
        style=Markup(style),  # noqa: S704 - our own file
        policy=content_policy(style),
        report=report,
        summary=summary_line(report),
        checks=list(found.items()),
        figures=[{"split": split, "source": data_url(path), "name": path.name} for split, path in figures],
    )
