"""Writes the results page of a reproduction: RESULTS.md with its figures, and the same as one HTML file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ldyn.report.build import build_report
from ldyn.report.results.claims import claims_section, misses_section
from ldyn.report.results.experiments import experiment_sections
from ldyn.report.results.figures import figure_sections
from ldyn.report.results.logs import log_sections
from ldyn.report.results.page import html_page
from ldyn.report.results.provenance import head, how_it_was_made
from ldyn.report.results.reproduction import Reproduction, read_reproduction
from ldyn.store.files import write_atomically

MARKDOWN_FILE, HTML_FILE = "RESULTS.md", "results.html"
FIGURES_DIR = Path("figures", "results")


def write_results(directory: Path, target: Path) -> Sequence[Path]:
    """Write the page of the reproduction in ``directory`` into ``target``; returns the Markdown and the HTML file.

    Reads run directories only, so it needs no torch, and can be called again at any time: what is not finished is
    named.
    """
    reproduction = read_reproduction(directory)
    pictures = Pictures(target)
    _draw_logs_beside_ours(reproduction)
    sections = [
        head(reproduction),
        claims_section(reproduction),
        misses_section(reproduction),
        figure_sections(reproduction, pictures.add),
        experiment_sections(reproduction, pictures.add),
        log_sections(reproduction, pictures.add),
        how_it_was_made(reproduction),
    ]
    text = "\n\n".join(section.strip() for section in sections if section.strip()) + "\n"
    markdown, page = target / MARKDOWN_FILE, target / HTML_FILE
    write_atomically(markdown, text.encode("utf-8", errors="replace"))
    write_atomically(page, html_page(text, target).encode("utf-8", errors="replace"))
    return markdown, page


class Pictures:
    """Copies figures beside the page."""

    def __init__(self, target: Path):
        self._target = target

    def add(self, source: Path, name: str) -> str:
        """Copy ``source`` to ``figures/results/<name>``; returns that path as the page links to it."""
        copy = self._target / FIGURES_DIR / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.resolve() != copy.resolve():
            shutil.copyfile(source, copy)
        return (FIGURES_DIR / name).as_posix()


def _draw_logs_beside_ours(reproduction: Reproduction) -> None:
    """Each imported run gets its report drawn with our first run as the reference, for the figure of the shapes."""
    ours = next((runs[0] for runs in reproduction.runs.values() if runs and not runs[0].is_study), None)
    for run in reproduction.logs.values() if ours else ():
        build_report(run.path, ours.path)  # type: ignore[union-attr]
