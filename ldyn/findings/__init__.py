"""The paper's claims, tested on the trajectories of a run. Nothing here imports torch."""

from ldyn.findings.claims import CLAIMS, Claim, find_all
from ldyn.findings.over_seeds import findings_over_seeds

__all__ = ["CLAIMS", "Claim", "find_all", "findings_over_seeds"]
