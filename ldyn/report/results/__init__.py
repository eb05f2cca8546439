"""The results page of a reproduction: its claims over seeds, the paper's figures beside ours, and how it was made."""

from ldyn.report.results.build import write_results

__all__ = ["write_results"]
