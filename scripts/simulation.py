"""How often do the rules say yes? Simulated runs with given effects, judged as real ones.

A curve is a sum of ramps, each of which grows from 0 to its amount between two points of the stage. Each seed
multiplies it by 1 + r·N(0, 1), with r a quarter or a half, and each example by 1 + EXAMPLES·N(0, 1): seeds differ by a
share r of the effect, independently in each curve. Each value also has noise of NOISE nats. The amounts are those of
the authors' logs (Qwen1.5-1.8B). Of claims without a log the primary quantity is drawn, with an assumed effect.

The null of a claim: one primary part has no effect, though seeds differ as much as before, while all the others have
theirs; the worst part counts. Of a bell that is a rise with a plateau, or a fall without a rise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ldyn.findings import CLAIMS
from ldyn.findings.claim import FAMILIES, Claim, Part, Values
from ldyn.findings.evidence import Curve, Evidence
from ldyn.findings.judging import joint_verdict, judged
from ldyn.records import HOLDS, StageInfo

Array = NDArray[np.float64]

N_EXAMPLES, EXAMPLES, NOISE = 80, 0.5, 2.0
"""Training questions observed; spread of an effect and noise of a value, as in the released arrays of Pythia-410M."""
EVALUATIONS = np.linspace(0, 1, 7)
"""When a stage is evaluated, as shares of it."""
LOG_EVALUATIONS = np.array([0, *np.geomspace(1 / 240, 1, 8)])
SPREADS = (0.25, 0.5)
TRIALS = 400

STAGES = (
    StageInfo("sft", "sft_sum", "pointwise", ("chosen",), "base"),
    StageInfo("dpo", "dpo", "pairwise", ("chosen", "rejected"), "sft"),
)
Key = tuple[str, str, str]
"""Stage, probe, column."""


@dataclass(frozen=True)
class Ramp:
    """``amount`` nats between ``start`` and ``end`` (shares of the stage); ``mean`` 0: no effect, the same spread."""

    amount: float
    start: float = 0.0
    end: float = 1.0
    mean: float = 1.0


Ramps = dict[Key, tuple[Ramp, ...]]
Drawn = tuple[Part, Values]


def _lines(stage: str, **changes: float) -> Ramps:
    return {(stage, probe, "logp"): (Ramp(change),) for probe, change in changes.items()}


GREEDY = ("dpo", "chosen", "logp_argmax")
LOGGED: Ramps = {
    **_lines("sft", chosen=66.4, irr_train=20.1, irr_test=-18.9, irr_hum=-32.5),
    **_lines("sft", random_permute=-29.9, random_nonhum=-27.6),
    ("sft", "rejected", "logp"): (Ramp(10.1, 0, 0.2), Ramp(-18.1, 0.2, 1)),
    ("sft", "chosen_gptsemantic", "logp"): (Ramp(1.1, 0, 0.025), Ramp(-12.6, 0.025, 1)),
    **_lines("dpo", chosen=-58.9, rejected=-218.8, chosen_initial=-219.7, chosen_gptsemantic=-148.6),
    **_lines("dpo", chosen_gptformat=-146.2, reject_gptsemantic=-176.2, reject_gptformat=-164.4),
    **_lines("dpo", irr_train=-173.0, irr_test=-194.8, irr_hum=-146.4),
    GREEDY: (Ramp(14.6),),
}
"""First to last evaluation in the authors' logs; the bells: to their peak, and from there."""

FLUENT = tuple(key for key in LOGGED if key[0] == "dpo" and key[1] not in ("chosen", "rejected"))
EQUAL_FALL: Ramps = {("dpo", "rejected", "logp"): LOGGED["dpo", "chosen", "logp"]}


def _off(*keys: Key, ramp: int | None = None) -> Ramps:
    """The ramps of ``keys`` (or one of them) without an effect."""
    return {
        key: tuple(replace(one, mean=0.0) if ramp in (None, place) else one for place, one in enumerate(LOGGED[key]))
        for key in keys
    }


def _sft(probe: str) -> Key:
    return "sft", probe, "logp"


NULLS: Mapping[str, tuple[Ramps, ...]] = {
    "S1": (_off(_sft("chosen")),),
    "S2": tuple(_off(_sft("chosen_gptsemantic"), ramp=place) for place in (0, 1)),
    "S3": tuple(_off(_sft("rejected"), ramp=place) for place in (0, 1)),
    "S4": (_off(_sft("irr_train")),),
    "S5": (_off(_sft("irr_test")), _off(_sft("irr_hum"))),
    "S6": (_off(_sft("random_permute")), _off(_sft("random_nonhum"))),
    "D1": (_off(("dpo", "chosen", "logp")), _off(("dpo", "rejected", "logp")), _off(*FLUENT)),
    "D2": (EQUAL_FALL,),
    "D3": (_off(GREEDY), _off(("dpo", "chosen", "logp")), _off(("dpo", "rejected", "logp"))),
}
"""Of each claim with logs: for each primary part, what has no effect."""

ASSUMED: Mapping[str, tuple[float | tuple[float, ...], str]] = {
    "D3b": (1.0, "as fast again as SFT raised y⁺ in the logs, 1 nat per 1000 examples"),
    "D4": (37.0, "half of the logged squeeze of 73.5 nats"),
    "E1": (20.0, "20 nats"),
    "E2": (37.0, "half of the logged squeeze of 73.5 nats"),
    "E3": (0.11, "Table 1: .11 above ½, mean over both judges"),
    "O1": (37.0, "half of the logged squeeze of 73.5 nats"),
    "T1": (1.0, "a theorem: any size"),
    "T2": (1.0, "a theorem: any size"),
    "T3": (1.0, "a theorem: any size"),
    "T4": (1.0, "a theorem: any size"),
    "T5": (1.0, "a theorem: any size"),
    "M1": (0.4, "ρ = .4"),
    "K1": (0.25, "τ = .75"),
    "K2": (0.07, "share .97"),
    "K3": (0.2, "share .7"),
    "K4": (0.4, "ρ = .4"),
    "K5": (0.4, "ρ = .4"),
    "K6": (0.2, "share .7"),
    "D5": (37.0, "half of the logged squeeze of 73.5 nats"),
    "R1": (0.15, "share .40"),
    "R2": ((2.0, 0.1), "2 nats, and 0.1 nats per token"),
    "R3": (0.1, "shares of .10"),
    "R4": (0.1, "0.1 nats per token, and a share of .10"),
    "R5": (4.5, "4.5 nats, as O1 found"),
}
"""Of each claim without logs: its effect beyond the bound in its unit (or that of each primary part), and in words."""


class SimulatedEvidence(Evidence):
    """Simulated curves: one row for each seed, its mean over examples."""

    def __init__(self, curves: Mapping[Key, Curve]):
        self._curves, self._frames, self._tables, self.stages = dict(curves), {}, {}, STAGES

    def probes(self, stage: StageInfo) -> list[str]:
        return [probe for name, probe, column in self._curves if name == stage.name and column == "logp"]


def simulated(ramps: Ramps, spread: float, evaluations: Array, seeds: int, random: np.random.Generator) -> Evidence:
    """``seeds`` seeds of an experiment in which every curve is the sum of its ramps, averaged over N_EXAMPLES."""
    curves = {}
    for key, own in ramps.items():
        values = NOISE * random.normal(size=(seeds, N_EXAMPLES, len(evaluations))).mean(axis=1)
        for ramp in own:
            of_seed = ramp.mean + spread * random.normal(size=seeds)
            of_examples = (1 + EXAMPLES * random.normal(size=(seeds, N_EXAMPLES))).mean(axis=1)
            shape = np.clip((evaluations - ramp.start) / (ramp.end - ramp.start), 0, 1)
            values += ramp.amount * np.outer(of_seed * of_examples, shape)
        curves[key] = Curve(pd.DataFrame(values))
    return SimulatedEvidence(curves)


def _from_curves(claim: Claim, ramps: Ramps, spread: float, n: int, random: np.random.Generator) -> list[Drawn]:
    """The primary parts with their values in ``n`` seeds."""
    own = {key: value for key, value in ramps.items() if key[0] == claim.family.lower()}
    evidence = simulated(own, spread, LOG_EVALUATIONS if claim.id == "S2" else EVALUATIONS, n, random)
    primary = replace(claim, parts=tuple(part for part in claim.parts if part.primary))
    return list(primary.measure(evidence).values())


def _drawn(claim: Claim, null: int | None, spread: float, n: int, random: np.random.Generator) -> list[Drawn]:
    """The same, each drawn around its bound: N(effect, (spread · effect)²) on the claimed side; 0 for part ``null``."""
    drawn: list[Drawn] = []
    primary = [part for part in claim.parts if part.primary]
    effects = np.broadcast_to(ASSUMED[claim.id][0], len(primary))
    for place, (part, effect) in enumerate(zip(primary, effects, strict=True)):
        beyond = effect * (place != null) + spread * effect * random.normal(size=n)
        drawn.append(
            (replace(part, reduce=None), pd.Series(part.bound + (beyond if part.claimed == "above" else -beyond)))
        )
    return drawn


def _holding_rate(claim: Claim, drawn: list[Drawn], trials: int) -> float:
    """The share of ``trials`` experiments of equally many seeds in which the claim holds."""
    numbers = np.array_split(np.arange(len(drawn[0][1])), trials)
    verdicts = [
        joint_verdict([judged(part, part.over_examples(values.iloc[own]), claim.alpha) for part, values in drawn])
        for own in numbers
    ]
    return verdicts.count(HOLDS) / trials


def rates(claim: Claim, spread: float, trials: int = TRIALS, seed: int = 0) -> tuple[float, float]:
    """Power at the effect, and the highest rate of a false "holds" under the claim's nulls."""
    random = np.random.default_rng([seed, list(CLAIMS).index(claim.id), round(100 * spread)])
    trials = 5 * trials if claim.id in ASSUMED else trials  # those are drawn faster
    n = trials * units_of(claim)
    if claim.id in ASSUMED:
        primary = range(sum(part.primary for part in claim.parts))
        draws = [_drawn(claim, null, spread, n, random) for null in (None, *primary)]
    else:
        nulls = [{**LOGGED, **null} for null in NULLS[claim.id]]
        draws = [_from_curves(claim, ramps, spread, n, random) for ramps in (LOGGED, *nulls)]
    power, *false = (_holding_rate(claim, one, trials) for one in draws)
    return power, max(false)


def units_of(claim: Claim) -> int:
    """Planned seeds; of the toy the random starts of its five seeds."""
    return 100 if claim.study == "toy" else FAMILIES[claim.family].seeds


def power_table(trials: int = TRIALS, claims: Iterable[Claim] = tuple(CLAIMS.values())) -> Iterator[dict[str, object]]:
    """One row for each claim: its seeds, effect, and power and false positives for each of SPREADS."""
    for claim in claims:
        effect = ASSUMED[claim.id][1] if claim.id in ASSUMED else "the authors' log"
        row: dict[str, object] = {"claim": claim.id, "seeds": FAMILIES[claim.family].seeds, "effect": effect}
        for spread in SPREADS:
            power, false = rates(claim, spread, trials)
            row |= {f"power, {spread:g}": power, f"false, {spread:g}": false}
        yield row
