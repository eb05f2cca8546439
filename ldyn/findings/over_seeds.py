"""Findings over seeds: every claim from the runs of several experiments, in one table with one correction.

For each claim ``weighing`` gives parts over seeds, each with one-sided p-values. As in a run, all parts must hold
(intersection-union), so of K parts

    p(holds) = max_k p_k(claimed side),      p(fails) = min(1, K · min_k p_k(other side)),

and the claim's two-sided p-value is 2 · min(p(holds), p(fails)); its side is that of the smaller. Over all claims of
the table these are adjusted by the step-up rule of Y. Benjamini and Y. Hochberg (J. Royal Statistical Society B 57
(1995) 289), and a claim has a verdict if its adjusted p-value is at most LEVEL. Of the verdicts given, a share of at
most LEVEL is expected to be wrong, a wrong side included (Y. Benjamini and D. Yekutieli, J. American Statistical
Association 100 (2005) 71). A claim that is inconclusive whatever its numbers say takes part with p = 1, which makes
the correction stricter, never laxer. The intervals shown are 95 % intervals of the first part alone, not corrected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ldyn.findings.claim import CLAIMS, Claim, inconclusive, joined, sentence_on
from ldyn.findings.curves import Evidence
from ldyn.findings.parts import Part, joint_verdict
from ldyn.findings.seed_runs import check_seeds, seed_of
from ldyn.findings.weighing import Alone, Weighed, weigh
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, FindingOverSeeds
from ldyn.store import Run

LEVEL = 0.05


def findings_over_seeds(groups: Mapping[str, Sequence[Run]]) -> list[FindingOverSeeds]:
    """Judge every claim that some experiment measures, in the order of CLAIMS; all of them are one family of tests.

    groups: experiment -> its runs, which differ in their seed alone; a study (toy, images) is one run. Where several
    experiments measure a claim, the first in the order of ``groups`` decides, whatever the others found.
    Raises RunDirectoryError where runs of one experiment differ in more than their seed.
    """
    for name, runs in groups.items():
        check_seeds(name, runs)
    evidence = {
        name: {seed_of(run): Evidence(run.trajectories, run.stages, run.planned_steps, run.tables) for run in runs}
        for name, runs in groups.items()
    }
    weighed = {name: found for name, claim in CLAIMS.items() if (found := _first_that_measures(claim, evidence))}
    adjusted = adjusted_p_values({name: _p_for_correction(found) for name, (_, found) in weighed.items()})
    family = sum(not math.isnan(p) for p in adjusted.values())
    return [_finding(name, source, found, adjusted[name], family) for name, (source, found) in weighed.items()]


def p_values(parts: Sequence[Part]) -> tuple[float, float]:
    """One-sided p-values of the claim holding and of its failing, from those of its parts."""
    holds = max(part.p_claimed for part in parts)
    return holds, min(1.0, len(parts) * min(part.p_contrary for part in parts))


def adjusted_p_values(found: Mapping[str, float]) -> dict[str, float]:
    """Benjamini and Hochberg's; a claim without a p-value (NaN) is not corrected and keeps none."""
    from scipy.stats import false_discovery_control  # takes a second to import

    known = {name: p for name, p in found.items() if not math.isnan(p)}
    adjusted = false_discovery_control(list(known.values()), method="bh") if known else []
    return {**found, **dict(zip(known, map(float, adjusted), strict=True))}


def _first_that_measures(claim: Claim, evidence: Mapping[str, Mapping[str, Evidence]]) -> tuple[str, Weighed] | None:
    """The first experiment with a run that measures the claim, and what its runs found together."""
    for name, seeds in evidence.items():
        runs = [_alone(claim, seed, one) for seed, one in seeds.items()]
        if measured := [run for run in runs if run is not None]:
            return name, weigh(name, measured)
    return None


def _alone(claim: Claim, seed: str, evidence: Evidence) -> Alone | None:
    measurement = claim.measure(evidence)
    if measurement is None:
        return None
    return Alone(seed, measurement, [words for words in map(evidence.shortfall, measurement.stages) if words])


def _p_value(weighed: Weighed) -> float:
    """Two-sided; NaN where a part has no interval."""
    return min(1.0, 2 * min(p_values(weighed.parts))) if weighed.has_intervals else math.nan


def _p_for_correction(weighed: Weighed) -> float:
    p_value = _p_value(weighed)
    return 1.0 if weighed.left_open and not math.isnan(p_value) else p_value


def _finding(name: str, source: str, weighed: Weighed, adjusted: float, family: int) -> FindingOverSeeds:
    claim = CLAIMS[name]
    decided = weighed.has_intervals and not weighed.left_open and adjusted <= LEVEL
    shown = weighed.parts[0].interval if weighed.parts else None
    counts = {verdict: None if weighed.alone is None else weighed.alone[verdict] for verdict in _VERDICTS}
    return FindingOverSeeds(
        id=name,
        claim=claim.text,
        estimate=weighed.estimate,
        ci_low=shown.low if shown else math.nan,
        ci_high=shown.high if shown else math.nan,
        unit=claim.number,
        seeds=weighed.seeds,
        held=counts[HOLDS],
        failed=counts[FAILS],
        open=counts[INCONCLUSIVE],
        p_value=_p_value(weighed),
        p_adjusted=adjusted,
        verdict=_side(weighed.parts) if decided else INCONCLUSIVE,
        reason=_reason(weighed, adjusted, family, decided),
        paper=claim.paper,
        source=source,
    )


_VERDICTS = (HOLDS, FAILS, INCONCLUSIVE)


def _side(parts: Sequence[Part]) -> str:
    holds, fails = p_values(parts)
    return HOLDS if holds < fails else FAILS


def _reason(weighed: Weighed, adjusted: float, family: int, decided: bool) -> str:
    sentences = []
    if weighed.has_intervals:
        sentences.append(sentence_on(weighed.parts))
        sentences.append(f"Two-sided p = {_p_value(weighed):.2g}, corrected for {family} claims {adjusted:.2g}")
        if not decided and not weighed.left_open and joint_verdict(weighed.parts) != INCONCLUSIVE:
            sentences[-1] += f", which is above {LEVEL:g}, so it is inconclusive"
    if weighed.left_open:
        sentences.append(inconclusive(weighed.left_open))
    return joined([*sentences, *weighed.notes])
