"""Figures and pages from run directories: of one run, and of runs side by side. Needs no torch."""

from ldyn.report.build import build_report
from ldyn.report.sweep import compare_sweep, is_sweep

__all__ = ["build_report", "compare_sweep", "is_sweep"]
