"""The page of a quality check of a probe set, in the style of a run's report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldyn.report.html import render
from ldyn.store.files import write_atomically

REPORT_FILE = "report.html"
FINDINGS_FILE = "quality.json"


def write_quality_report(report: Mapping[str, Any], directory: Path) -> Path:
    """Write ``report.html`` and ``quality.json`` into ``directory``; returns the page's path.

    report: the object form of ``ldyn.probe_sets.quality.QualityReport``.
    """
    write_atomically(directory / FINDINGS_FILE, (json.dumps(report, indent=1) + "\n").encode())
    page = directory / REPORT_FILE
    write_atomically(page, _page(report).encode("utf-8", errors="replace"))
    return page


def _page(report: Mapping[str, Any]) -> str:
    names = dict.fromkeys(one["check"] for one in report["findings"])
    checks = [(name, [one for one in report["findings"] if one["check"] == name]) for name in names]
    return render("probe_quality.html", report=report, checks=checks)
