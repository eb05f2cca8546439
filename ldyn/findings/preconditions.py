"""What squeezing needs, measured on the train probes at the first probe step of a stage, before its first update.

Peakiness: the probability of the greedy token along y⁺, geometric mean over a response, median over responses.
Headroom: −log π(y*) along y⁺, the nats by which the greedy mass can rise. Energy of a response: Σ_t ‖π_t − e_yt‖², its
push on the logits; with ‖π‖² and π(y) as means over N tokens it is N (‖π‖² − 2 π(y) + 1). Where y⁻ has little more than
y⁺ it lies in no valley, and the two pushes of a pair cancel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ldyn.records import StageInfo


@dataclass(frozen=True)
class Preconditions:
    """At the start of ``stage``: see above. ``rejected``: the probability of a token of y⁻, as the peakiness."""

    stage: str
    peakiness: float
    headroom: float
    rejected: float
    energy_ratio: float

    def __str__(self) -> str:
        parts = {
            f"greedy token p = {self.peakiness:.2f}": self.peakiness,
            f"headroom {self.headroom:.1f} nats": self.headroom,
            f"token of y⁻ p = {self.rejected:.2g}": self.rejected,
            f"energy of y⁻ / y⁺ = {self.energy_ratio:.2f}": self.energy_ratio,
        }
        return f"At the start of {self.stage}: {', '.join(text for text, value in parts.items() if np.isfinite(value))}"


def preconditions(trajectories: pd.DataFrame, stages: Sequence[StageInfo]) -> Iterator[Preconditions]:
    """Of the run's first stage and of each that compares pairs, as far as they have begun."""
    train = trajectories[trajectories["split"] == "train"]
    named = [stage.name for number, stage in enumerate(stages) if number == 0 or stage.kind == "pairwise"]
    for stage in named:
        start = train[(train["stage"] == stage) & (train["step"] == 0)]
        chosen, rejected = (start[start["probe"] == probe] for probe in ("chosen", "rejected"))
        if len(chosen) and len(rejected):
            greedy, other = chosen["logp_argmax"] / chosen["n_tokens"], rejected["logp"] / rejected["n_tokens"]
            ratio = _energy(rejected).mean() / _energy(chosen).mean()
            p_greedy, p_other = float(np.exp(greedy.median())), float(np.exp(other.median()))
            yield Preconditions(stage, p_greedy, float(-chosen["logp_argmax"].mean()), p_other, float(ratio))


def _energy(scores: pd.DataFrame) -> pd.Series[float]:
    return scores["n_tokens"] * (scores["prob_norm_sq"] - 2 * scores["p_label"] + 1)
