"""The published logs in small: mean curves, stages and findings, as `make published` wrote them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ldyn.records import Finding, StageInfo
from ldyn.report.figures.material import Material
from ldyn.report.run_page import material_of
from ldyn.store import Run
from ldyn.store.reader import findings_of

DIRECTORY = Path(__file__).parent / "texts"
CURVES, INDEX = "published-{name}.parquet", "published.json"


@dataclass(frozen=True)
class PublishedRun:
    """A model of others: its curves to draw, its findings (without intervals where only means are known), notes."""

    material: Material
    findings: Sequence[Finding]
    notes: Sequence[str]

    @classmethod
    def of_run(cls, run: Run) -> PublishedRun:
        """Logs that were imported as a run directory."""
        return cls(material_of(run), run.findings, run.manifest.get("notes", []))


def published_runs() -> dict[str, PublishedRun]:
    """Name of the model -> its run, of the logs that the paper's authors published."""
    index = json.loads((DIRECTORY / INDEX).read_text(encoding="utf-8"))
    runs = {}
    for name, entry in index.items():
        curves = pd.read_parquet(DIRECTORY / CURVES.format(name=name))
        stages = [StageInfo(**{**stage, "view": tuple(stage["view"])}) for stage in entry["stages"]]
        runs[name] = PublishedRun(Material(curves, stages, name=name), findings_of(entry["findings"]), entry["notes"])
    return runs
