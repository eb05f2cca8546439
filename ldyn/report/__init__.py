"""Figures and pages from run directories: of one run, of a sweep, of several experiments. Needs no torch."""

from ldyn.report.results import write_results
from ldyn.report.run_page import build_report
from ldyn.report.sweep import compare_sweep, draw_seeds, is_sweep

__all__ = ["build_report", "compare_sweep", "draw_seeds", "is_sweep", "write_results"]
