"""From what runs measured to findings: of one run, and over the runs of several seeds.

Of one run of one seed a finding has estimates and intervals over its probe examples, and no verdict: another seed is
another matter. A study (toy, images) repeats itself under several seeds, so its run has verdicts.

Over seeds each part is a number for each seed (``Part.over_seeds``). A claim *fails* if a primary part fails, *holds*
if all hold, and has *no effect found* if one of them has none; else it is *inconclusive*, as with fewer than MIN_SEEDS
seeds. As all parts must hold, a false "holds" is at most as likely as for one part (R. Berger, Technometrics 24 (1982)
295). The level is that of the claim's family, whatever else was measured. A run whose stages did not reach their
planned end does not count.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from ldyn.errors import RunDirectoryError
from ldyn.findings.claim import FAMILIES, Claim, Part, Values
from ldyn.findings.evidence import Evidence
from ldyn.findings.intervals import MIN_SEEDS, estimate, seeds_needed, verdict_on
from ldyn.records import (
    FAILS,
    HOLDS,
    INCONCLUSIVE,
    MEAN_EXAMPLE,
    NO_EFFECT,
    THIS_RUN,
    Finding,
    FindingOverSeeds,
    FindingPart,
)

SECONDARY = "Secondary: "
Measured = Mapping[str, tuple[Part, Values]]


def find_in_run(claim: Claim, evidence: Evidence) -> Finding | None:
    """What one run says about ``claim``; None where it lacks the stages or probes."""
    measured = claim.measure(evidence)
    if not measured:
        return None
    seeds = claim.study_seeds(evidence)
    parts = [judged(part, part.over_examples(values), claim.alpha) for part, values in measured.values()]
    if seeds >= MIN_SEEDS:
        return _finding(claim, parts, seeds, joint_verdict(parts))
    open_parts = [replace(part, verdict=THIS_RUN) for part in parts]
    reasons = [*_unmeasured(claim, measured), *_shortfalls(claim, evidence)]
    return _finding(claim, open_parts, seeds or 1, THIS_RUN, reasons)


def find_over_seeds(
    claim: Claim, seeds: Mapping[str, Evidence], source: str, notes: Sequence[str] = ()
) -> FindingOverSeeds | None:
    """What the runs of several ``seeds`` (or one study) say together; None where none of them measures the claim.

    notes: what else a reader should know, e.g. which seeds are not among them.
    """
    measured = {seed: found for seed, evidence in seeds.items() if (found := claim.measure(evidence))}
    if not measured:
        return None
    if own := {seed: claim.study_seeds(seeds[seed]) for seed in measured if claim.study_seeds(seeds[seed])}:
        if len(measured) > 1:
            raise RunDirectoryError(
                f"{source}: found {len(measured)} runs of a study, expected 1, as a study has its own seeds."
            )
        [(seed, count)] = own.items()
        units = {name: (part, part.over_examples(values)) for name, (part, values) in measured[seed].items()}
        return judge(claim, units, source, count, [f"a study of {count} seeds"])
    skipped = {seed: "; ".join(_shortfalls(claim, seeds[seed])) for seed in measured}
    used = {seed: found for seed, found in measured.items() if not skipped[seed]}
    unused = [f"{seed} is not used: {why}" for seed, why in skipped.items() if why]
    return judge(claim, by_seed(used or measured), source, len(used), [*unused, *notes])


def _shortfalls(claim: Claim, evidence: Evidence) -> list[str]:
    """The stages of the claim that stopped early, and what else makes the run unusable for it."""
    return [words for words in (*map(evidence.shortfall, claim.stages(evidence)), claim.unusable(evidence)) if words]


def by_seed(measured: Mapping[str, Measured]) -> dict[str, tuple[Part, pd.Series]]:
    """Quantity -> part, and its number in each seed that measured it."""
    parts = {name: part for found in measured.values() for name, (part, _) in found.items()}
    return {
        name: (part, part.over_seeds([found[name][1] for found in measured.values() if name in found]))
        for name, part in parts.items()
    }


def judge(
    claim: Claim, units: Mapping[str, tuple[Part, pd.Series]], source: str, seeds: int, notes: Sequence[str] = ()
) -> FindingOverSeeds:
    """The finding over seeds from one number for each part and unit (a seed; in a study, what it repeats)."""
    parts = [judged(part, values, claim.alpha) for part, values in units.values()]
    primary = {name: (part, estimate(values)) for name, (part, values) in units.items() if part.primary}
    p_value = max(found.p_beyond(part.bound, part.claimed) for part, found in primary.values())
    if any(math.isnan(found.spread) for _, found in primary.values()):
        p_value = math.nan
    size = len(FAMILIES[claim.family].claims)
    is_study = any(len(values) != seeds for _, values in units.values())
    needed = [seeds_needed(found, part.claimed, part.bound, claim.alpha) for part, found in primary.values()]
    agree = pd.DataFrame({name: _as_claimed(part, units[name][1]) for name, (part, _) in primary.items()})
    reasons = _unmeasured(claim, units)
    if seeds < MIN_SEEDS:
        reasons.append(f"only {seeds} usable seeds, at least {MIN_SEEDS} are needed")
    verdict = INCONCLUSIVE if reasons else joint_verdict(parts)
    return FindingOverSeeds(
        **vars(_finding(claim, parts, seeds, verdict, [*reasons, *notes])),
        p_value=p_value,
        p_adjusted=min(1.0, size * p_value),
        agreeing=int(agree.all(axis=1).sum()),
        seeds_needed=math.nan if is_study or any(map(math.isnan, needed)) else max(needed),
        source=source,
    )


def _as_claimed(part: Part, values: pd.Series) -> pd.Series:
    return values > part.bound if part.claimed == "above" else values < part.bound


def judged(part: Part, values: pd.Series, alpha: float) -> FindingPart:
    """The part with its 95 % interval, and its verdict at level ``alpha``."""
    found = estimate(values)
    low, high = found.interval()
    known_one_by_one = MEAN_EXAMPLE not in values.index
    return FindingPart(
        name=part.quantity,
        primary=part.primary,
        claimed=part.claimed,
        bound=part.bound,
        smallest=part.smallest,
        unit=part.unit,
        n=found.n if known_one_by_one else 0,
        verdict=verdict_on(found, part.claimed, part.bound, part.smallest, alpha),
        estimate=found.mean,
        ci_low=low,
        ci_high=high,
    )


def joint_verdict(parts: Sequence[FindingPart]) -> str:
    """Of the primary parts: FAILS if any fails, HOLDS if all hold, NO_EFFECT if one has none, else INCONCLUSIVE."""
    verdicts = {part.verdict for part in parts if part.primary}
    if FAILS in verdicts:
        return FAILS
    if verdicts == {HOLDS}:
        return HOLDS
    return NO_EFFECT if NO_EFFECT in verdicts else INCONCLUSIVE


def _unmeasured(claim: Claim, measured: Collection[str]) -> list[str]:
    missing = [part.quantity for part in claim.parts if part.primary and part.quantity not in measured]
    return [f"not measured: {', '.join(missing)}"] if missing else []


def _finding(
    claim: Claim, parts: Sequence[FindingPart], seeds: int, verdict: str, notes: Sequence[str] = ()
) -> Finding:
    shown = next(part for part in parts if part.primary)
    return Finding(
        id=claim.id,
        claim=claim.text,
        estimate=shown.estimate,
        ci_low=shown.ci_low,
        ci_high=shown.ci_high,
        unit=f"{shown.unit}, {shown.name}",
        n=shown.n,
        seeds=seeds,
        verdict=verdict,
        reason=_reason(parts, notes),
        paper=claim.paper,
        parts=tuple(parts),
    )


def _reason(parts: Sequence[FindingPart], notes: Sequence[str]) -> str:
    primary, others = ([_words(part) for part in parts if part.primary is kind] for kind in (True, False))
    sentences = ["; ".join(primary), *notes, *([SECONDARY + "; ".join(others)] if others else [])]
    return ". ".join(sentence[:1].upper() + sentence[1:] for sentence in sentences) + "."


def _words(part: FindingPart) -> str:
    known = f" [{part.ci_low:+.3g}, {part.ci_high:+.3g}]" if math.isfinite(part.ci_low) else " (no interval)"
    verdict = "" if part.verdict == THIS_RUN else f": {part.verdict}"
    return f"{part.name} {part.estimate:+.3g}{known}, claimed {part.claimed} {part.bound:g}{verdict}"
