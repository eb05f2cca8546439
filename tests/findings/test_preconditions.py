"""What squeezing needs, worked out by hand for two examples."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ldyn.findings.preconditions import preconditions
from ldyn.records import StageInfo


def row(probe: str, step: int, **values: float) -> dict[str, object]:
    return {"stage": "dpo", "split": "train", "step": step, "probe": probe, "n_tokens": 2, **values}


def test_two_examples_by_hand() -> None:
    """y⁺: greedy .5 · .5 and .25 · .25; energies 2 (.5 - 2 · .5 + 1) = 1 and 2 (.5 - 2 · .25 + 1) = 2. y⁻: 3 and 3."""
    chosen = [
        row("chosen", 0, logp_argmax=2 * math.log(0.5), logp=-2.0, prob_norm_sq=0.5, p_label=0.5),
        row("chosen", 0, logp_argmax=2 * math.log(0.25), logp=-2.0, prob_norm_sq=0.5, p_label=0.25),
    ]
    rejected = [row("rejected", 0, logp_argmax=-1.0, logp=2 * math.log(0.01), prob_norm_sq=0.5, p_label=0.0)] * 2
    later = [row("chosen", 9, logp_argmax=-99.0, logp=-99.0, prob_norm_sq=0.9, p_label=0.9)]
    stages = [StageInfo("dpo", "dpo", "pairwise", ("chosen", "rejected"), "base", 1e-5)]
    [found] = preconditions(pd.DataFrame([*chosen, *rejected, *later]), stages)
    assert found.peakiness == pytest.approx(math.sqrt(0.5 * 0.25))  # the median of two logs
    assert found.headroom == pytest.approx(-(math.log(0.5) + math.log(0.25)))
    assert found.rejected == pytest.approx(0.01)
    assert found.energy_ratio == pytest.approx(2.0)
    assert str(found).startswith("At the start of dpo: greedy token p = 0.35, headroom 2.1 nats, token of y⁻ p = 0.01")
