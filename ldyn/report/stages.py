"""The stages of a run as chains from the base model to its ends, found by what they are, not by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ldyn.records import StageInfo

_VIEW_WORDS = {"chosen": "y⁺", "rejected": "y⁻"}


@dataclass(frozen=True, slots=True)
class Arm:
    """A pairwise stage and the pointwise stage it starts from. role: "baseline" (view chosen) or "extend" (both)."""

    role: str
    label: str
    pointwise: StageInfo
    pairwise: StageInfo


def view_words(stage: StageInfo) -> str:
    """The responses a stage trains on, as symbols: "y⁺", or "y⁺ and y⁻"."""
    return " and ".join(_VIEW_WORDS.get(view, view) for view in stage.view)


def stage_title(stage: StageInfo) -> str:
    """What a stage does, for a title: "SFT on y⁺" or "DPO of y⁺ against y⁻"."""
    name = stage.algorithm.upper() if len(stage.algorithm) <= 5 else stage.algorithm
    return f"{name} of y⁺ against y⁻" if stage.kind == "pairwise" else f"{name} on {view_words(stage)}"


def find_chains(stages: Sequence[StageInfo]) -> list[tuple[StageInfo, ...]]:
    """Every path from a stage that starts at the base to one that no other starts from, in the order they ran."""
    by_name = {stage.name: stage for stage in stages}
    starts = {stage.start for stage in stages}
    chains = [_path_to(stage, by_name) for stage in stages if stage.name not in starts]
    return sorted(chains, key=lambda chain: stages.index(chain[0]))


def _path_to(stage: StageInfo, by_name: dict[str, StageInfo]) -> tuple[StageInfo, ...]:
    path = [stage]
    while (before := by_name.get(path[-1].start)) is not None and before not in path:
        path.append(before)
    return tuple(reversed(path))


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
    found = [(_role(before), before, stage) for before, stage in pairs if before.kind == "pointwise"]
    roles = [role for role, _, _ in found]
    arms = [
        Arm(role, role if roles.count(role) == 1 else stage.start, before, stage)
        for role, before, stage in found
        if role
    ]
    return sorted(arms, key=lambda arm: arm.role)


def _role(pointwise: StageInfo) -> str:
    views = set(pointwise.view)
    return "baseline" if views == {"chosen"} else "extend" if views == {"chosen", "rejected"} else ""
