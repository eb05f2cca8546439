"""S1 to S6: what SFT on the chosen response does to the other responses to the same question (paper, Fig. 3)."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pandas as pd

from ldyn.findings.claim import Measurement, claim
from ldyn.findings.curves import Curve, Evidence
from ldyn.findings.intervals import Interval
from ldyn.findings.parts import Part, Side, highest_part, interval_over_examples, mean_part
from ldyn.findings.stages import supervised_stage

# A curve that gives back less than this share of its rise still counts as rising; one that gives back more has fallen.
GIVE_BACK = 0.1


@claim(
    "S1",
    "SFT: the chosen answer y⁺ rises throughout",
    "nats, change of y⁺",
    "Fig. 3: rises; Pythia-410M −152.0 → −92.4, Qwen1.5-1.8B −122.8 → −56.4",
)
def chosen_rises(evidence: Evidence) -> Measurement | None:
    """S1: over SFT, log π(y⁺) rises throughout.

    Statistic: (1) mean change of log π(y⁺), last minus first; (2) the deepest fall on the way: the highest, over all
    pairs of evaluations s < t, of the mean of L_s − L_t, minus GIVE_BACK (a tenth) of the rise L_last − L_first.
    Rule: holds if (1) is above zero and (2) below; fails if either lies on the other side; needs three evaluations.
    """
    return _throughout(evidence, "chosen")


@claim("S2", "SFT: the rephrase of y⁺ rises at first, then falls (a bell)", "nats, rise to the peak", "Fig. 3: a bell")
def rephrases_are_bells(evidence: Evidence) -> Measurement | None:
    """S2: over SFT, the semantic rephrase of y⁺ (chosen_gptsemantic) rises at first, then falls.

    Statistic: (1) the rise: the highest, over the evaluations t between the first and the last, of the mean of
    L_t − L_first; (2) the fall: the highest, over the same t, of the mean of L_t − L_last, minus GIVE_BACK (a tenth) of
    the rise L_t − L_first up to there.
    Rule: holds if both are above zero; fails if either is below (it never rises, or never falls by more than a tenth
    of its rise); needs three evaluations. A peak between two evaluations is not seen.
    """
    return _bell(evidence, "chosen_gptsemantic")


@claim(
    "S3",
    "SFT: the rejected answer y⁻ rises at first, then falls (a bell)",
    "nats, rise to the peak",
    "Fig. 3: a bell; Qwen1.5-1.8B −97.2 → −87 → −105.2",
)
def rejected_is_a_bell(evidence: Evidence) -> Measurement | None:
    """S3: over SFT, log π(y⁻) rises at first, then falls. Statistic and rule as for S2, with the probe rejected."""
    return _bell(evidence, "rejected")


@claim(
    "S4",
    "SFT: the answer to another training question keeps rising (hallucination)",
    "nats, change of y⁺ of another question",
    "Fig. 3: keeps rising; Qwen1.5-1.8B −163.4 → −143.3",
)
def other_answers_rise(evidence: Evidence) -> Measurement | None:
    """S4: over SFT, log π(y⁺ of another training question) keeps rising (hallucination).

    Statistic and rule as for S1, with the probe irr_train. The note compares it with the answer to an *unseen* question
    (irr_test), as otherwise all answers alike might have risen.
    """
    stage, measured = supervised_stage(evidence), _throughout(evidence, "irr_train")
    seen, control = (evidence.curve(stage, probe) if stage else None for probe in ("irr_train", "irr_test"))
    if measured is None or seen is None or control is None:
        return measured
    beyond, _ = interval_over_examples((seen.change - control.change).to_frame())
    shown = f"{beyond.estimate:+.3g}" if beyond.missing else str(beyond)
    return replace(measured, note=f"its change minus that of irr_test, the control: {shown} nats")


@claim(
    "S5",
    "SFT: answers to unseen questions and human sentences are pushed down",
    "nats, change of y_test",
    "Fig. 3: pushed down, y_test after a brief rise; Qwen1.5-1.8B y_test −136.8 → −155.7, y_hum −129.0 → −161.5",
)
def unseen_answers_fall(evidence: Evidence) -> Measurement | None:
    """S5: over SFT, answers to unseen questions (irr_test) and human sentences (irr_hum) end lower than they began.

    Statistic: the mean change, last minus first, of each. Rule: holds if both are below zero, fails if one is above.
    The brief rise of irr_test that the paper sees is not required.
    """
    return _all_fall(evidence, ("irr_test", "irr_hum"))


@claim("S6", "SFT: shuffled and random words fall", "nats, change of shuffled y⁺", "Fig. 3: fall")
def random_words_fall(evidence: Evidence) -> Measurement | None:
    """S6: over SFT, shuffled words (random_permute, random_nonhum) end lower than they began.

    Statistic: the mean change, last minus first, of each. Rule: holds if both are below zero, fails if one is above.
    """
    return _all_fall(evidence, ("random_permute", "random_nonhum"))


def _throughout(evidence: Evidence, probe: str) -> Measurement | None:
    stage = supervised_stage(evidence)
    curve = evidence.curve(stage, probe) if stage else None
    if stage is None or curve is None:
        return None
    rises = mean_part(f"change of {probe} over {stage.name}", "above", curve.change)
    excess = f"deepest fall of {probe} on the way minus {GIVE_BACK:.0%} of its whole rise"
    return Measurement([rises, _highest_of_three(excess, "below", curve, deepest_fall(curve))], (stage,))


def _bell(evidence: Evidence, probe: str) -> Measurement | None:
    stage = supervised_stage(evidence)
    curve = evidence.curve(stage, probe) if stage else None
    if stage is None or curve is None:
        return None
    rise = _highest_of_three(f"rise of {probe} over {stage.name} to its peak", "above", curve, rises_inside(curve))
    excess = f"fall of {probe} after its peak minus {GIVE_BACK:.0%} of its rise"
    fall = _highest_of_three(excess, "above", curve, falls_inside(curve))
    return Measurement([rise, fall], (stage,), f"the first evaluation after the start is at step {curve.steps[1]}")


def _all_fall(evidence: Evidence, probes: tuple[str, ...]) -> Measurement | None:
    stage = supervised_stage(evidence)
    curves = [evidence.curve(stage, probe) for probe in probes] if stage else []
    found = [curve for curve in curves if curve is not None]
    if stage is None or len(found) < len(probes):
        return None
    parts = [
        mean_part(f"change of {probe} over {stage.name}", "below", curve.change)
        for probe, curve in zip(probes, found, strict=True)
    ]
    return Measurement(parts, (stage,))


def deepest_fall(curve: Curve) -> pd.DataFrame:
    """Examples × pairs of steps s < t: L_s − L_t − GIVE_BACK · (L_last − L_first)."""
    values = curve.whole()
    allowed = GIVE_BACK * (values.iloc[:, -1] - values.iloc[:, 0])
    pairs = {f"step {s} to {t}": values[s] - values[t] - allowed for s, t in combinations(values.columns, 2)}
    return pd.DataFrame(pairs)


def rises_inside(curve: Curve) -> pd.DataFrame:
    """Examples × steps between first and last: L_t − L_first."""
    values = curve.whole()
    return values.iloc[:, 1:-1].sub(values.iloc[:, 0], axis=0).add_prefix("step ")


def falls_inside(curve: Curve) -> pd.DataFrame:
    """Examples × steps between first and last: L_t − L_last − GIVE_BACK · (L_t − L_first)."""
    values = curve.whole()
    falls = values.iloc[:, 1:-1].sub(values.iloc[:, -1], axis=0).add_prefix("step ")
    return falls - GIVE_BACK * rises_inside(curve)


def _highest_of_three(quantity: str, claimed: Side, curve: Curve, columns: pd.DataFrame) -> Part:
    if len(curve.steps) < 3:
        missing = "the stage has only two evaluations, at least three are needed"
        return Part(quantity, claimed, Interval(float("nan"), float("nan"), float("nan"), len(columns), missing))
    return highest_part(quantity, claimed, columns)
