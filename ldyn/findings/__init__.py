"""The paper's claims, tested on what runs measured. Nothing here imports torch.

Every claim's rule (primary and secondary parts, smallest effect of interest, family) is declared in ``claims_*.py`` and
printed in docs/RULES.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ldyn.findings import claims_arms, claims_kernel, claims_preference, claims_sft, claims_studies
from ldyn.findings.claim import Claim
from ldyn.findings.evidence import Evidence
from ldyn.findings.judging import find_in_run, find_over_seeds
from ldyn.findings.seed_runs import check_seeds, seed_of
from ldyn.records import Finding, FindingOverSeeds, StageInfo
from ldyn.store import Run

__all__ = ["CLAIMS", "find_all", "findings_over_seeds"]

CLAIMS: dict[str, Claim] = {
    claim.id: claim
    for module in (claims_sft, claims_preference, claims_arms, claims_studies, claims_kernel)
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
    make; a stage without an entry counts as complete. ``tables``: the run's other tables, see ``Run.tables``.
    """
    evidence = Evidence(trajectories, stages, planned_steps or {}, tables or {})
    found = (find_in_run(claim, evidence) for claim in CLAIMS.values())
    return [finding for finding in found if finding is not None]


def findings_over_seeds(groups: Mapping[str, Sequence[Run]]) -> list[FindingOverSeeds]:
    """Judge every claim that some experiment measures, in the order of CLAIMS.

    groups: experiment -> its runs, which differ in their seed alone; a study (toy, images) is one run. Where several
    experiments measure a claim, the first in the order of ``groups`` decides.
    Raises RunDirectoryError where runs of one experiment differ in more than their seed.
    """
    evidence = {}
    for name, runs in groups.items():
        check_seeds(name, runs)
        evidence[name] = {
            seed_of(run): Evidence(run.trajectories, run.stages, run.planned_steps, run.tables) for run in runs
        }
    every = [[find_over_seeds(claim, seeds, name) for name, seeds in evidence.items()] for claim in CLAIMS.values()]
    first = (next((one for one in of_claim if one is not None), None) for of_claim in every)
    return [one for one in first if one is not None]
