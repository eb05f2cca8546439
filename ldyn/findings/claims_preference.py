"""D1 to D3b: what a preference stage (DPO and its like) does to the responses it observes (paper, Fig. 4)."""

from __future__ import annotations

from itertools import product

import pandas as pd

from ldyn.findings.claim import Measurement, claim
from ldyn.findings.curves import Curve, Evidence
from ldyn.findings.parts import highest_part, mean_part
from ldyn.findings.stages import preference_stage
from ldyn.records import StageInfo

REJECTED_LIKE = ("reject_gptsemantic", "reject_gptformat")


@claim(
    "D1",
    "DPO: in the long run every observed response falls, y⁺ too",
    "nats, change of the one that falls least",
    "Fig. 4: all fall; in the logs y⁺ Pythia-410M −152.0 → −140.2 → −146.3, Qwen1.5-1.8B −54.4 → −113.3",
)
def everything_falls(evidence: Evidence) -> Measurement | None:
    """D1: over DPO, in the long run, every observed response falls, y⁺ too.

    Statistic: the highest, over the observed probes, of the mean change of log π (last evaluation minus first).
    Rule: holds if it is below zero, so that every response falls; fails if it is above, so that one at least rises.
    The first evaluation is before the first update; the run's own length is what "in the long run" can mean here.
    """
    stage = preference_stage(evidence)
    curves = _curves(evidence, stage) if stage else {}
    if stage is None or "chosen" not in curves:
        return None
    changes = _changes(curves)
    least = highest_part(f"change over {stage.name} of the response that falls least", "below", changes)
    falling = int((changes.mean() < 0).sum())
    note = f"{falling} of {len(curves)} responses fall in the mean, chosen by {changes['chosen'].mean():+.3g} nats"
    return Measurement([least], (stage,), note)


@claim(
    "D2",
    "DPO: y⁻ falls fastest, what resembles y⁻ next",
    "nats, change of y⁻ minus that of the fastest other response",
    "Fig. 4: y⁻ fastest; Qwen1.5-1.8B y⁻ −106.5 → −325.3 while y⁺ −54.4 → −113.3",
)
def rejected_falls_fastest(evidence: Evidence) -> Measurement | None:
    """D2: over DPO, y⁻ falls fastest, and what resembles y⁻ (its rephrase, its form) falls next fastest.

    Statistic, with Δ the mean change of log π (a sum over tokens) over the stage: (1) the highest Δ(y⁻) − Δ(k) over
    all other probes k; (2) the highest Δ(j) − Δ(k) over the look-alikes j of y⁻ and all other probes k but y⁻.
    Rule: holds if both are below zero; fails if either is above: then something else falls faster.
    """
    stage = preference_stage(evidence)
    curves = _curves(evidence, stage) if stage else {}
    alike = [probe for probe in REJECTED_LIKE if probe in curves]
    others = [probe for probe in curves if probe not in (*REJECTED_LIKE, "rejected")]
    if stage is None or "rejected" not in curves or not alike or not others:
        return None
    first_pairs = [("rejected", probe) for probe in (*alike, *others)]
    next_pairs = list(product(alike, others))
    changes = _changes(curves)
    parts = [
        highest_part(f"change of {who} over {stage.name} minus that of the {rival}", "below", _gaps(changes, pairs))
        for who, rival, pairs in (
            ("rejected", "fastest other response", first_pairs),
            ("a response like rejected", "fastest response unlike it", next_pairs),
        )
    ]
    return Measurement(parts, (stage,))


@claim(
    "D3",
    "DPO squeezes: the greedy mass log π(y*) rises while y⁺ and y⁻ fall",
    "nats, change of log π(y*)",
    "Fig. 4: rises; log π(y*) Pythia-410M −61.6 → −41.2, Qwen1.5-1.8B −30.0 → −15.4",
)
def greedy_mass_rises(evidence: Evidence) -> Measurement | None:
    """D3, squeezing: over DPO the greedy mass log π(y*) along y⁺ rises while y⁺ and y⁻ themselves fall.

    Statistic: (1) the mean change of logp_argmax along y⁺; (2) of log π(y⁺) and log π(y⁻), the highest mean change;
    of log π(y⁺) alone where y⁻ was not measured.
    Rule: holds if (1) is above zero and (2) below; fails if either lies on the other side.
    """
    stage = preference_stage(evidence)
    if stage is None:
        return None
    greedy = evidence.curve(stage, "chosen", "logp_argmax")
    observed = {probe: curve for probe, curve in _curves(evidence, stage).items() if probe in ("chosen", "rejected")}
    if greedy is None or "chosen" not in observed:
        return None
    rise = f"change of the greedy mass along chosen over {stage.name}"
    parts = [
        mean_part(rise, "above", greedy.change),
        highest_part(
            f"change over {stage.name} of the one that falls less",
            "below",
            _changes(observed),
        ),
    ]
    others = _changes(_curves(evidence, stage)).drop(columns=list(observed)).mean()
    rising = f"of the {len(others)} other responses {int((others > 0).sum())} rise in the mean"
    alone = "" if "rejected" in observed else "; y⁻ was not measured"
    return Measurement(parts, (stage,), rising + alone)


@claim(
    "D3b",
    "DPO raises the greedy mass faster than SFT raised y⁺",
    "nats per 1000 examples, the difference",
    "Fig. 4, from −113 to −63: by a metric that a bug overwrote. The corrected logs do not show it: log π(y*) "
    "rises by 20.4 and 14.6 in DPO where y⁺ had risen by 59.6 and 66.4 in SFT (Pythia-410M, Qwen1.5-1.8B)",
)
def greedy_mass_rises_faster(evidence: Evidence) -> Measurement | None:
    """D3b: over DPO the greedy mass rises faster than the SFT before it raised y⁺.

    Statistic: the mean, per example, of the change of logp_argmax along y⁺ over DPO minus the change of log π(y⁺) over
    that SFT, each for 1,000 examples seen at one learning rate: the paper trains both stages at the same, and a stage
    at a rate r times higher moves r times as far per example to first order, so DPO's change is multiplied by the ratio
    of SFT's learning rate to its own (by 1 where a rate is not known). Rule: holds if it is above zero.
    """
    stage = preference_stage(evidence)
    start = next((s for s in evidence.stages if stage and s.name == stage.start and s.kind == "pointwise"), None)
    if stage is None or start is None:
        return None
    greedy, learned = evidence.curve(stage, "chosen", "logp_argmax"), evidence.curve(start, "chosen")
    if greedy is None or learned is None:
        return None
    ratio = (start.learning_rate or 1.0) / (stage.learning_rate or 1.0) if _rates_known(start, stage) else 1.0
    own_rate = _per_thousand(greedy, evidence, stage)
    rise_of_chosen = _per_thousand(learned, evidence, start)
    quantity = f"rise of the greedy mass in {stage.name} minus that of chosen in {start.name}, at one learning rate"
    part = mean_part(quantity, "above", own_rate * ratio - rise_of_chosen, unit="nats per 1000 examples")
    note = (
        f"greedy mass {own_rate.mean():+.3g} nats per 1000 examples in {stage.name} at its own learning rate, "
        f"times {ratio:g} at that of {start.name}; chosen {rise_of_chosen.mean():+.3g} in {start.name}"
    )
    return Measurement([part], (start, stage), note)


def _rates_known(*stages: StageInfo) -> bool:
    return all(stage.learning_rate is not None for stage in stages)


def _curves(evidence: Evidence, stage: StageInfo) -> dict[str, Curve]:
    curves = {probe: evidence.curve(stage, probe) for probe in evidence.probes(stage)}
    return {probe: curve for probe, curve in curves.items() if curve is not None}


def _changes(curves: dict[str, Curve]) -> pd.DataFrame:
    """Examples × probes; NaN where an example lacks the probe."""
    return pd.DataFrame({probe: curve.change for probe, curve in curves.items()})


def _gaps(changes: pd.DataFrame, pairs: list[tuple[str, str]]) -> pd.DataFrame:
    """Examples × pairs (a, b): change of a minus change of b."""
    return pd.DataFrame({f"{a} against {b}": changes[a] - changes[b] for a, b in pairs})


def _per_thousand(curve: Curve, evidence: Evidence, stage: StageInfo) -> pd.Series:
    return 1000 * curve.change / evidence.examples_seen(stage)
