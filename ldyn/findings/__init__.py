"""The paper's claims, tested on what runs measured. Nothing here imports torch.

Every claim's rule (primary and secondary parts, smallest effect of interest, family) is declared in ``claims_*.py`` and
printed in docs/RULES.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from ldyn.findings import (
    claims_arms,
    claims_depth,
    claims_kernel,
    claims_preference,
    claims_rl,
    claims_sft,
    claims_studies,
)
from ldyn.findings.claim import FAMILIES, Claim
from ldyn.findings.claims_depth import depth_series
from ldyn.findings.evidence import Evidence
from ldyn.findings.judging import find_in_run, find_over_seeds
from ldyn.findings.seed_runs import check_seeds, seed_of
from ldyn.findings.sources import DEPTH_SERIES, DEPTHS, deciding
from ldyn.records import NOT_JUDGED, Finding, FindingOverSeeds, StageInfo
from ldyn.store import Run
from ldyn.store.batch_logs import BATCH_MEANS

__all__ = ["CLAIMS", "depth_findings", "find_all", "findings_over_seeds"]

CLAIMS: dict[str, Claim] = {
    claim.id: claim
    for module in (claims_sft, claims_preference, claims_arms, claims_studies, claims_kernel, claims_depth, claims_rl)
    for claim in module.CLAIMS
}
"""Every claim by its id."""


def find_all(
    trajectories: pd.DataFrame,
    stages: Sequence[StageInfo],
    planned_steps: Mapping[str, int] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> list[Finding]:
    """What one run says on every claim for which it has the stages and the probes, in the order of CLAIMS.

    ``trajectories`` has the columns of records.TRAJECTORY_COLUMNS. ``planned_steps``: stage -> updates it was meant to
    make; a stage without an entry counts as complete. ``tables``: the run's other tables, see ``Run.tables``. Claims on
    a run of batch means are not judged.
    """
    if BATCH_MEANS in (tables or {}):
        return _not_judged(stages)
    evidence = Evidence(trajectories, stages, planned_steps or {}, tables or {})
    found = (find_in_run(claim, evidence) for claim in CLAIMS.values())
    return [finding for finding in found if finding is not None]


def _not_judged(stages: Sequence[StageInfo]) -> list[Finding]:
    families = {"pointwise": FAMILIES["SFT"], "pairwise": FAMILIES["DPO"]}
    names = [name for kind, one in families.items() if kind in {stage.kind for stage in stages} for name in one.claims]
    why = "Not judged: the log has means over other pairs at every step, and log π of no fixed example, nor log π(y*)."
    none = math.nan
    return [
        Finding(one.id, one.text, none, none, none, "", 0, 1, NOT_JUDGED, why, one.paper)
        for one in map(CLAIMS.__getitem__, names)
    ]


def findings_over_seeds(groups: Mapping[str, Sequence[Run]]) -> list[FindingOverSeeds]:
    """Judge every claim that some experiment measures, in the order of CLAIMS.

    groups: experiment -> its runs, which differ in their seed alone; a study (toy, images) is one run. Which of several
    experiments decides a claim is declared in ``sources``; of the user's own the first in the order of ``groups``.
    Raises RunDirectoryError where runs of one experiment differ in more than their seed.
    """
    evidence: dict[str, Mapping[str, Evidence]] = {}
    for name, runs in groups.items():
        check_seeds(name, runs)
        evidence[name] = {
            seed_of(run): Evidence(run.trajectories, run.stages, run.planned_steps, run.tables) for run in runs
        }
    found = [
        _first_found(claim, {name: evidence[name] for name in deciding(claim.id, list(evidence))})
        for claim in CLAIMS.values()
    ]
    if all(groups.get(name) for name in DEPTHS):
        found += depth_findings([run for name in DEPTHS for run in groups[name]])
    return [one for one in found if one is not None]


def depth_findings(runs: Sequence[Run]) -> list[FindingOverSeeds]:
    """D5 over the seeds of runs that differ in seed and depth alone; nothing where there is one depth."""
    series, notes = depth_series(runs)
    found = find_over_seeds(CLAIMS["D5"], series, DEPTH_SERIES, notes)
    return [found] if found else []


def _first_found(claim: Claim, sources: Mapping[str, Mapping[str, Evidence]]) -> FindingOverSeeds | None:
    found = (find_over_seeds(claim, seeds, name) for name, seeds in sources.items())
    return next((one for one in found if one is not None), None)
