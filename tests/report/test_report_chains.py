"""Stages are found by kind, view and start; their names mean nothing."""

from __future__ import annotations

import pytest

from ldyn.records import StageInfo
from ldyn.report.stages import chain_title, find_arms, find_chains, main_chain, stage_title

NAMES = [("sft", "dpo", "extend", "dpo_extend"), ("dpo_extend", "sft", "base2", "x"), ("a", "b", "c", "d")]


def both_arms(one: str, two: str, three: str, four: str) -> list[StageInfo]:
    both = ("chosen", "rejected")
    return [
        StageInfo(three, "sft", "pointwise", both, "base"),
        StageInfo(four, "dpo", "pairwise", both, three),
        StageInfo(one, "sft", "pointwise", ("chosen",), "base"),
        StageInfo(two, "dpo", "pairwise", both, one),
    ]


@pytest.mark.parametrize("names", NAMES)
def test_arms_and_main_chain_do_not_depend_on_names(names: tuple[str, str, str, str]) -> None:
    stages = both_arms(*names)
    arms = find_arms(stages)
    assert [(arm.label, arm.pointwise.name, arm.pairwise.name) for arm in arms] == [
        ("baseline", names[0], names[1]),
        ("extend", names[2], names[3]),
    ]
    assert [stage.name for stage in main_chain(stages)] == [names[0], names[1]]
    assert [[stage.name for stage in chain] for chain in find_chains(stages)] == [[*names[2:]], [*names[:2]]]


def test_two_arms_of_one_role_are_told_apart_by_their_pointwise_stage() -> None:
    both = ("chosen", "rejected")
    more = [StageInfo("long", "sft", "pointwise", both, "base"), StageInfo("long_dpo", "dpo", "pairwise", both, "long")]
    labels = [arm.label for arm in find_arms(both_arms("a", "b", "c", "d") + more)]
    assert labels == ["baseline", "c", "long"]


def test_titles_say_what_is_trained_on_what() -> None:
    stages = both_arms("a", "b", "c", "d")
    assert stage_title(stages[0]) == "SFT on y⁺ and y⁻"
    assert chain_title(main_chain(stages)) == "SFT on y⁺ (a) → DPO of y⁺ against y⁻ (b)"
