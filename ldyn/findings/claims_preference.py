"""D1 to D3b: what a preference stage (DPO and its like) does to the responses it observes (paper, Fig. 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ldyn.findings.claim import Claim, Measure, Part, secondary
from ldyn.findings.evidence import Evidence
from ldyn.findings.stages import preference_stage
from ldyn.records import PROBE_FAMILIES, StageInfo

LIKE_REJECTED = ("reject_gptsemantic", "reject_gptformat")
SHUFFLED = tuple(probe for probe, family in PROBE_FAMILIES.items() if family.group == "random")


def _stages(evidence: Evidence) -> Sequence[StageInfo]:
    stage = preference_stage(evidence)
    return (stage,) if stage else ()


def _stages_with_sft(evidence: Evidence) -> Sequence[StageInfo]:
    own = _stages(evidence)
    return (*(s for s in evidence.stages if own and s.name == own[0].start), *own)


def _changes(evidence: Evidence) -> pd.DataFrame:
    """Examples × probes; empty without a preference stage."""
    stage = preference_stage(evidence)
    return evidence.changes(stage) if stage else pd.DataFrame()


def _change(probe: str) -> Measure:
    return lambda evidence: _changes(evidence).get(probe)


def greedy_mass(evidence: Evidence) -> pd.Series | None:
    """Change of log π(y*) along y⁺ over the preference stage."""
    curves = [evidence.curve(stage, "chosen", "logp_argmax") for stage in _stages(evidence)]
    return curves[0].change if curves and curves[0] is not None else None


def _fluent(changes: pd.DataFrame) -> pd.DataFrame:
    return changes.drop(columns=["chosen", "rejected", *SHUFFLED], errors="ignore")


def _mean_of_fluent(evidence: Evidence) -> pd.Series | None:
    fluent = _fluent(_changes(evidence))
    return None if fluent.empty else fluent.mean(axis=1)


def _each_fluent(evidence: Evidence) -> Mapping[str, pd.Series]:
    return {str(probe): change for probe, change in _fluent(_changes(evidence)).items()}


def _shuffled(evidence: Evidence) -> Mapping[str, pd.Series]:
    changes = _changes(evidence)
    return {probe: changes[probe] for probe in SHUFFLED if probe in changes}


def _rejected_minus_each(evidence: Evidence) -> Mapping[str, pd.Series]:
    changes = _changes(evidence)
    if "rejected" not in changes:
        return {}
    return {str(probe): changes["rejected"] - own for probe, own in _fluent(changes).items()}


def _rejected_minus_chosen(evidence: Evidence) -> pd.Series | None:
    changes = _changes(evidence)
    return changes["rejected"] - changes["chosen"] if {"chosen", "rejected"} <= set(changes) else None


def _alike_minus_unlike(evidence: Evidence) -> pd.Series | None:
    """Mean change of what resembles y⁻ minus the mean change of y⁺ and the fluent responses that do not."""
    changes = _changes(evidence).drop(columns=["rejected", *SHUFFLED], errors="ignore")
    alike = [probe for probe in LIKE_REJECTED if probe in changes]
    unlike = changes.columns.difference(alike)
    return changes[alike].mean(axis=1) - changes[unlike].mean(axis=1) if alike and len(unlike) else None


def _greedy_minus_learned(evidence: Evidence) -> pd.Series | None:
    """Change of the greedy mass over DPO minus that of y⁺ over the SFT before it, per 1,000 examples at one rate.

    To first order a stage at a learning rate r times higher moves r times as far per example, so DPO's change is
    multiplied by the ratio of SFT's learning rate to its own (by 1 where a rate is not known).
    """
    greedy, stages = greedy_mass(evidence), _stages_with_sft(evidence)
    if greedy is None or len(stages) < 2 or stages[0].kind != "pointwise":
        return None
    start, stage = stages
    learned = evidence.curve(start, "chosen")
    if learned is None:
        return None
    known = start.learning_rate is not None and stage.learning_rate is not None
    ratio = (start.learning_rate or 1.0) / (stage.learning_rate or 1.0) if known else 1.0
    return 1000 * (ratio * greedy / evidence.examples_seen(stage) - learned.change / evidence.examples_seen(start))


CLAIMS = (
    Claim(
        "D1",
        "DPO: in the long run y⁺, y⁻ and fluent responses fall",
        "Fig. 4: all fall; y⁺ Pythia-410M −152.0 → −146.3 (from the base), Qwen1.5-1.8B −54.4 → −113.3",
        (
            Part("change of y⁺", "below", _change("chosen")),
            Part("change of y⁻", "below", _change("rejected")),
            Part("mean change of the other fluent responses", "below", _mean_of_fluent),
            secondary("change of", "below", _each_fluent, each="each of them"),
            secondary("change of", "below", _shuffled, each="each shuffled response"),
        ),
        _stages,
    ),
    Claim(
        "D2",
        "DPO: y⁻ falls fastest (faster than y⁺), what resembles y⁻ next",
        "Fig. 4: y⁻ fastest; Qwen1.5-1.8B y⁻ −106.5 → −325.3 while y⁺ −54.4 → −113.3",
        (
            Part("change of y⁻ minus that of y⁺", "below", _rejected_minus_chosen),
            secondary("what resembles y⁻ minus what does not, mean changes", "below", _alike_minus_unlike),
            secondary(
                "change of y⁻ minus that of", "below", _rejected_minus_each, each="each of the other fluent responses"
            ),
        ),
        _stages,
    ),
    Claim(
        "D3",
        "DPO squeezes: the greedy mass log π(y*) rises while y⁺ and y⁻ fall",
        "Fig. 4: rises; log π(y*) Pythia-410M −61.6 → −41.2, Qwen1.5-1.8B −30.0 → −15.4",
        (
            Part("change of log π(y*) along y⁺", "above", greedy_mass),
            Part("change of y⁺", "below", _change("chosen")),
            Part("change of y⁻", "below", _change("rejected")),
        ),
        _stages,
    ),
    Claim(
        "D3b",
        "DPO raises the greedy mass faster than SFT raised y⁺",
        "Fig. 4, from −113 to −63: by a metric that a bug overwrote. The corrected logs do not show it: log π(y*) "
        "rises by 20.4 and 14.6 in DPO where y⁺ had risen by 59.6 and 66.4 in SFT (Pythia-410M, Qwen1.5-1.8B)",
        (
            Part(
                "rise of log π(y*) in DPO minus that of y⁺ in SFT, at one learning rate",
                "above",
                _greedy_minus_learned,
                unit="nats per 1000 examples",
                smallest=0.5,
            ),
        ),
        _stages_with_sft,
    ),
)
