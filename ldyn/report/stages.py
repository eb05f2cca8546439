"""The stages of a run as chains from the base model to its ends, found by what they are, not by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ldyn.records import StageInfo


@dataclass(frozen=True, slots=True)
class Arm:
    """A pairwise stage and the pointwise stage it starts from. role: "baseline" (view chosen) or "extend" (both)."""

    role: str
    label: str
    pointwise: StageInfo
    pairwise: StageInfo


def stage_title(stage: StageInfo) -> str:
    """What a stage does, for a title: "SFT on y⁺", "DPO of y⁺ against y⁻" or "GRPO on sampled answers"."""
    name = stage.algorithm.upper() if len(stage.algorithm) <= 5 else stage.algorithm
    if stage.kind == "pairwise":
        return f"{name} of y⁺ against y⁻"
    if stage.kind == "groupwise":
        return f"{name} on sampled answers"
    symbols = {"chosen": "y⁺", "rejected": "y⁻"}
    return f"{name} on {' and '.join(symbols.get(view, view) for view in stage.view)}"


def find_chains(stages: Sequence[StageInfo]) -> list[tuple[StageInfo, ...]]:
    """Every path from a stage that starts at the base to one that no other starts from, in the order they ran."""
    by_name = {stage.name: stage for stage in stages}
    starts = {stage.start for stage in stages}
    chains = []
    for last in (stage for stage in stages if stage.name not in starts):
        path = [last]
        while (before := by_name.get(path[-1].start)) is not None and before not in path:
            path.append(before)
        chains.append(tuple(reversed(path)))
    return sorted(chains, key=lambda chain: stages.index(chain[0]))


def chain_title(chain: Sequence[StageInfo]) -> str:
    """A chain in words, with the stages' own names: "SFT on y⁺ (sft) → DPO of y⁺ against y⁻ (dpo)"."""
    return " → ".join(f"{stage_title(stage)} ({stage.name})" for stage in chain)


def main_chain(stages: Sequence[StageInfo]) -> tuple[StageInfo, ...]:
    """The chain that the paper's main figures show: the first baseline, or else the first chain there is."""
    chains = find_chains(stages)
    baselines = [chain for chain in chains if chain[0].kind == "pointwise" and tuple(chain[0].view) == ("chosen",)]
    return (baselines or chains or [()])[0]


def main_stage(stages: Sequence[StageInfo], kind: str) -> StageInfo | None:
    """The stage of a kind that figures show first: the main chain's, or else the first there is."""
    return next((stage for stage in (*main_chain(stages), *stages) if stage.kind == kind), None)


def find_arms(stages: Sequence[StageInfo]) -> list[Arm]:
    """Every pairwise stage that follows a pointwise one, baselines first.

    Where two arms have one role, their labels are the names of their pointwise stages.
    """
    by_name = {stage.name: stage for stage in stages}
    pairs = [(by_name[stage.start], stage) for stage in stages if stage.kind == "pairwise" and stage.start in by_name]
    roles = {("chosen",): "baseline", ("chosen", "rejected"): "extend"}
    named = [(roles.get(tuple(sorted(before.view)), ""), before, stage) for before, stage in pairs]
    found = [(role, before, stage) for role, before, stage in named if role and before.kind == "pointwise"]
    count = Counter(role for role, _, _ in found)
    arms = [Arm(role, role if count[role] == 1 else stage.start, before, stage) for role, before, stage in found]
    return sorted(arms, key=lambda arm: arm.role)
