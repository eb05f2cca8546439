"""The paper's claims, tested on what a run measured. Nothing here imports torch.

A verdict is about one run: its model, its data, its seed. Its interval covers other probe examples, not other seeds;
for those repeat the run and see ``over_seeds``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module

import pandas as pd

from ldyn.findings.claim import CLAIMS, Claim, Measurement, verdict_and_reason
from ldyn.findings.curves import Evidence
from ldyn.records import Finding, StageInfo

__all__ = ["CLAIMS", "Claim", "find_all"]

for _module in ("sft", "preference", "arms", "studies", "kernel"):  # each registers its claims, in this order
    import_module(f"{__name__}.claims_{_module}")


def find_all(
    trajectories: pd.DataFrame,
    stages: Sequence[StageInfo],
    planned_steps: Mapping[str, int] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> list[Finding]:
    """Test every claim for which the run has the stages and the probes, in the order of CLAIMS.

    ``trajectories`` has the columns of records.TRAJECTORY_COLUMNS. ``planned_steps``: stage -> updates it was meant to
    make; a claim about an interrupted stage is inconclusive, a stage without an entry counts as complete.
    ``tables``: the run's other tables, see ``Run.tables``.
    """
    evidence = Evidence(trajectories, stages, planned_steps or {}, tables or {})
    measured = {name: claim.measure(evidence) for name, claim in CLAIMS.items()}
    return [_finding(name, evidence, measurement) for name, measurement in measured.items() if measurement]


def _finding(name: str, evidence: Evidence, measurement: Measurement) -> Finding:
    shortfalls = [words for words in map(evidence.shortfall, measurement.stages) if words]
    verdict, reason = verdict_and_reason(measurement, shortfalls)
    shown, claim = measurement.parts[0].interval, CLAIMS[name]
    return Finding(
        id=name,
        claim=claim.text,
        estimate=shown.estimate,
        ci_low=shown.low,
        ci_high=shown.high,
        unit=claim.number,
        n=shown.n,
        seeds=measurement.seeds,
        verdict=verdict,
        reason=reason,
        paper=claim.paper,
    )
