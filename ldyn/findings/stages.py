"""Which stage is which, found by kind, view and start only, and the arms of an experiment.

An *arm* is one path of stages through an experiment, for example SFT then DPO. The stage of a claim is chosen among all
stages, so that no other stage stands in for one that has not begun: its curves are simply absent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ldyn.findings.evidence import Evidence
from ldyn.records import StageInfo

AFTER_SFT = ("pairwise", "groupwise")
"""Kinds of the stages that an arm may end with: preference losses and GRPO."""


@dataclass(frozen=True, slots=True)
class PreferenceArm:
    """A stage after SFT and its further rounds, each from the weights of the round before."""

    rounds: tuple[StageInfo, ...]

    @property
    def first(self) -> StageInfo:
        """The round that starts from the SFT (or the base)."""
        return self.rounds[0]

    @property
    def last(self) -> StageInfo:
        """The round whose weights the arm ends with."""
        return self.rounds[-1]

    @property
    def name(self) -> str:
        """The stage's name; that of several rounds without their numbers."""
        return self.first.name if len(self.rounds) == 1 else self.first.name.rpartition("_")[0] or self.first.name


def arms_of(stages: Sequence[StageInfo], kinds: Sequence[str] = ("pairwise",)) -> list[PreferenceArm]:
    """Every stage of these kinds that follows none of them, with its further rounds, in the order they ran."""
    own = {stage.name for stage in stages if stage.kind in kinds}
    firsts = [stage for stage in stages if stage.kind in kinds and stage.start not in own]
    return [PreferenceArm(_rounds(first, stages)) for first in firsts]


def _rounds(first: StageInfo, stages: Sequence[StageInfo]) -> tuple[StageInfo, ...]:
    rounds = [first]
    alike = [s for s in stages if (s.kind, s.algorithm, s.sampled) == (first.kind, first.algorithm, first.sampled)]
    while following := next((stage for stage in alike if stage.start == rounds[-1].name), None):
        rounds.append(following)
    return tuple(rounds)


def supervised_stage(evidence: Evidence) -> StageInfo | None:
    """The SFT of the claims: the first pointwise stage on the chosen response alone."""
    return next((s for s in evidence.stages if s.kind == "pointwise" and s.view == ("chosen",)), None)


def preference_stage_after(evidence: Evidence, start: StageInfo) -> StageInfo | None:
    """The first pairwise stage that starts from the weights of ``start``."""
    return next((s for s in evidence.stages if s.kind == "pairwise" and s.start == start.name), None)


def preference_stage(evidence: Evidence) -> StageInfo | None:
    """The DPO of the claims: the pairwise stage after SFT on chosen, or else the first pairwise stage there is."""
    supervised = supervised_stage(evidence)
    after = preference_stage_after(evidence, supervised) if supervised else None
    return after or next((s for s in evidence.stages if s.kind == "pairwise"), None)


def extended_stages(evidence: Evidence, baseline: StageInfo) -> list[StageInfo]:
    """The SFT stages on chosen *and* rejected from where ``baseline`` starts, the most alike in updates first."""
    both = {"chosen", "rejected"}
    arms = [s for s in evidence.stages if s.kind == "pointwise" and set(s.view) == both and s.start == baseline.start]
    if not all(map(evidence.has_begun, (baseline, *arms))):
        return []  # which arm is most alike to the baseline is not known yet
    updates = evidence.intended_updates(baseline)
    return sorted(arms, key=lambda arm: abs(math.log(evidence.intended_updates(arm) / updates)))
