"""S1 to S6: what SFT on the chosen response does to the other responses to the same question (paper, Fig. 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ldyn.findings.claim import Claim, Measure, Part, Values, secondary
from ldyn.findings.evidence import Curve, Evidence
from ldyn.findings.stages import supervised_stage
from ldyn.records import StageInfo


def _sft(evidence: Evidence) -> Sequence[StageInfo]:
    stage = supervised_stage(evidence)
    return (stage,) if stage else ()


def _of(probe: str, quantity: Callable[[Curve], Values | None]) -> Measure:
    """``quantity`` of the curve of ``probe`` over SFT."""

    def measure(evidence: Evidence) -> Values | None:
        curves = [evidence.curve(stage, probe) for stage in _sft(evidence)]
        return quantity(curves[0]) if curves and curves[0] is not None else None

    return measure


def _change(curve: Curve) -> pd.Series:
    return curve.change


def _second_half(curve: Curve) -> pd.Series | None:
    return curve.second_half if curve.values.shape[1] > 2 else None


def _inside(curve: Curve) -> pd.DataFrame | None:
    """The curve, if it has an evaluation between its ends."""
    return curve.values if curve.values.shape[1] > 2 else None


def rise_to_peak(curves: pd.DataFrame) -> pd.Series:
    """Units × steps -> the rise of each unit from its first value to the peak of the *other* units' mean curve.

    A peak that a unit does not choose by its own noise is not biased upwards. The peak lies between the ends.
    """
    return _at_peak(curves) - curves.iloc[:, 0]


def fall_from_peak(curves: pd.DataFrame) -> pd.Series:
    """Units × steps -> the fall of each unit from that peak to its last value."""
    return _at_peak(curves) - curves.iloc[:, -1]


def _at_peak(curves: pd.DataFrame) -> pd.Series:
    values = curves.to_numpy(dtype=np.float64)
    others = values.sum(axis=0) - values if len(values) > 1 else values
    peak = others[:, 1:-1].argmax(axis=1) + 1
    return pd.Series(values[np.arange(len(values)), peak], curves.index)


def _bell(probe: str, name: str) -> tuple[Part, ...]:
    return (
        Part(f"rise of {name} to its peak", "above", _of(probe, _inside), reduce=rise_to_peak),
        Part(f"fall of {name} from its peak to the end", "above", _of(probe, _inside), reduce=fall_from_peak),
    )


def _beyond_unseen(evidence: Evidence) -> pd.Series | None:
    changes = evidence.changes(_sft(evidence)[0]) if _sft(evidence) else pd.DataFrame()
    return changes["irr_train"] - changes["irr_test"] if {"irr_train", "irr_test"} <= set(changes) else None


def _changes(side: str, **probes: str) -> tuple[Part, ...]:
    return tuple(Part(f"change of {name}", side, _of(probe, _change)) for probe, name in probes.items())  # type: ignore[arg-type]


CLAIMS = (
    Claim(
        "S1",
        "SFT: the chosen answer y⁺ rises throughout",
        "Fig. 3: rises; Pythia-410M −152.0 → −92.4, Qwen1.5-1.8B −122.8 → −56.4",
        (
            *_changes("above", chosen="y⁺"),
            secondary("change of y⁺ over the second half", "above", _of("chosen", _second_half)),
        ),
        _sft,
    ),
    Claim(
        "S2",
        "SFT: the rephrase of y⁺ rises at first, then falls (a bell)",
        "Fig. 3: a bell; Qwen1.5-1.8B −128.6 → −127.5 (at the first of 40 evaluations) → −140.1",
        _bell("chosen_gptsemantic", "the rephrase of y⁺"),
        _sft,
        note="A peak before the first evaluation is not seen: it takes log-spaced evaluations.",
    ),
    Claim(
        "S3",
        "SFT: the rejected answer y⁻ rises at first, then falls (a bell)",
        "Fig. 3: a bell; Qwen1.5-1.8B −97.2 → −87.1 → −105.2",
        _bell("rejected", "y⁻"),
        _sft,
    ),
    Claim(
        "S4",
        "SFT: the answer to another training question keeps rising (hallucination)",
        "Fig. 3: keeps rising; Qwen1.5-1.8B −163.4 → −143.3",
        (
            *_changes("above", irr_train="y⁺ of another training question"),
            secondary("the same over the second half", "above", _of("irr_train", _second_half)),
            secondary("the same minus that of an unseen question", "above", _beyond_unseen),
        ),
        _sft,
    ),
    Claim(
        "S5",
        "SFT: answers to unseen questions and human sentences are pushed down",
        "Fig. 3: pushed down, y_test after a brief rise; Qwen1.5-1.8B y_test −136.8 → −155.7, y_hum −129.0 → −161.5",
        _changes("below", irr_test="the answer to an unseen question", irr_hum="a human sentence"),
        _sft,
    ),
    Claim(
        "S6",
        "SFT: shuffled and random words fall",
        "Fig. 3: fall; Qwen1.5-1.8B −362.1 → −392.0, −332.6 → −360.2",
        _changes("below", random_permute="the shuffled words of y⁺", random_nonhum="other shuffled words"),
        _sft,
    ),
)
