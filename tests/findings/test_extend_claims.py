"""E1 and E2: a baseline arm and one or two extended arms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ldyn.records import FAILS, HOLDS, INCONCLUSIVE

BASE_REJECTED = [-20, -18, -19]
BASE_DPO = ([-10, -20, -30], [-15, -10, -5])  # chosen falls by 20, the greedy mass rises by 10


def arms(
    build: Any,
    stages: Any,
    *,
    rejected: list[float] | None = None,
    after: tuple[list[float], list[float]] = ([-12, -14, -16], [-15, -14, -13]),
    rephrase: list[float] | None = None,
    baseline: tuple[list[float], list[float]] = BASE_DPO,
) -> Any:
    """The baseline and one extended arm of as many updates; by default it squeezes less."""
    sft, dpo, extend, dpo_extend = stages
    run = build(stages=tuple(stages)).add(sft, "chosen", [-30, -20, -10]).add(sft, "rejected", BASE_REJECTED)
    run.add(extend, "rejected", rejected or [-20, -16, -12]).add(extend, "chosen", [-30, -22, -12])
    for stage, (chosen, greedy) in ((dpo, baseline), (dpo_extend, after)):
        run.add(stage, "chosen", chosen, logp_argmax=greedy)
    run.add(dpo, "chosen_gptsemantic", [-20, -30, -35])
    run.add(dpo_extend, "chosen_gptsemantic", rephrase or [-20, -22, -24])
    return run


@pytest.mark.parametrize(
    ("rejected", "verdict", "estimate", "words"),
    [
        ([-20, -16, -12], HOLDS, 7, "goes from -20.0 to -19.0 in sft, from -20.0 to -12.0 in both"),
        ([-20, -22, -24], FAILS, -5, "-5"),
        # higher than the baseline left it only because it began higher: it does not rise
        ([-10, -11, -12], FAILS, 7, "change of rejected over both: -2"),
        ([-20, -19, -19], INCONCLUSIVE, 0, "rejected at the end of both minus that at the end of sft"),
    ],
)
def test_extending_must_raise_rejected_and_raise_it_above_the_baseline(
    build: Any, four_stages: Any, rejected: list[float], verdict: str, estimate: float, words: str
) -> None:
    finding = arms(build, four_stages, rejected=rejected).findings()["E1"]
    assert finding.verdict == verdict
    assert finding.estimate == pytest.approx(estimate)
    assert words in finding.reason


@pytest.mark.parametrize(
    ("after", "rephrase", "verdict", "words"),
    [
        (([-12, -14, -16], [-15, -14, -13]), None, HOLDS, "Both parts hold"),
        (([-12, -30, -40], [-15, -14, -13]), None, FAILS, "in dpo minus that in dpo_both (chosen, mean +8): +8"),
        (([-12, -14, -16], [-15, -5, -1]), None, FAILS, "change of the greedy mass in dpo_both minus that in dpo: +4"),
        (([-12, -14, -16], [-15, -14, -13]), [-20, -32, -40], FAILS, "(chosen_gptsemantic, mean +5): +5"),
        (([-12, -20, -32], [-15, -14, -13]), None, INCONCLUSIVE, "in dpo minus that in dpo_both (chosen, mean "),
    ],
)
def test_after_extending_chosen_and_its_like_fall_less_and_the_greedy_mass_rises_less(
    build: Any, four_stages: Any, after: Any, rephrase: Any, verdict: str, words: str
) -> None:
    finding = arms(build, four_stages, after=after, rephrase=rephrase).findings()["E2"]
    assert finding.verdict == verdict
    assert words in finding.reason


def test_level_and_drop_of_both_arms_are_in_the_reason(build: Any, four_stages: Any) -> None:
    reason = arms(build, four_stages).findings()["E2"].reason
    assert "In dpo chosen goes from -10.0 to -30.0, the greedy mass from -15.0 to -5.0" in reason
    assert "in dpo_both chosen goes from -12.0 to -16.0, the greedy mass from -15.0 to -13.0" in reason


@pytest.mark.parametrize(
    "baseline", [([-10, -9, -8], [-15, -10, -5]), ([-10, -20, -30], [-15, -16, -17]), ([-10, -10, -10], [-15, -10, -5])]
)
def test_where_the_baseline_does_not_squeeze_there_is_nothing_to_lessen(
    build: Any, four_stages: Any, baseline: Any
) -> None:
    better = ([-12, -8, -2], [-15, -20, -25])
    finding = arms(build, four_stages, baseline=baseline, after=better, rephrase=[-20, -19, -18]).findings()["E2"]
    assert finding.verdict == INCONCLUSIVE
    assert "the baseline does not clearly squeeze" in finding.reason


def add_control(run: Any, stages: Any, after: tuple[list[float], list[float]]) -> Any:
    """A second extended arm, with twice the updates; it comes first in the order of stages."""
    _, _, extend, dpo_extend = stages
    longer, dpo_longer = replace(extend, name="longer"), replace(dpo_extend, name="dpo_longer", start="longer")
    run.stages = (longer, dpo_longer, *run.stages)
    run.add(longer, "rejected", [-20, -16, -14, -12, -11])
    return run.add(dpo_longer, "chosen", after[0], logp_argmax=after[1])


def test_the_verdict_is_that_of_the_arm_with_as_many_updates_and_the_other_is_a_control(
    build: Any, four_stages: Any
) -> None:
    one_arm = arms(build, four_stages).findings()
    two_arms = add_control(arms(build, four_stages), four_stages, ([-12, -14, -17], [-15, -14, -12])).findings()
    for claim in ("E1", "E2"):
        assert two_arms[claim].verdict == HOLDS
        assert two_arms[claim].estimate == one_arm[claim].estimate
        assert "Control longer" in two_arms[claim].reason
        assert "): holds, " in two_arms[claim].reason


def test_a_control_that_says_the_contrary_leaves_the_verdict_open(build: Any, four_stages: Any) -> None:
    run = add_control(arms(build, four_stages), four_stages, ([-12, -30, -50], [-15, -5, 0]))
    findings = run.findings()
    assert (findings["E1"].verdict, findings["E2"].verdict) == (HOLDS, INCONCLUSIVE)
    assert "contradict each other" in findings["E2"].reason


def test_a_control_cut_short_has_no_say(build: Any, four_stages: Any) -> None:
    run = add_control(arms(build, four_stages), four_stages, ([-12, -30, -50], [-15, -5, 0]))
    finding = run.findings({"dpo_longer": 400})["E2"]
    assert finding.verdict == HOLDS
    assert "Control" not in finding.reason


def test_a_control_does_not_stand_in_for_an_arm_that_has_not_come_so_far(build: Any, four_stages: Any) -> None:
    run = add_control(arms(build, four_stages), four_stages, ([-12, -30, -50], [-15, -5, 0]))
    whole = run.table
    run.frames = [whole[whole["stage"] != "dpo_both"]]
    assert "E1" in run.findings()
    assert "E2" not in run.findings()
    run.frames = [whole[whole["stage"] != "both"]]
    assert not {"E1", "E2"} & set(run.findings())


def test_without_an_extended_arm_from_the_same_start_nothing_is_said(build: Any, four_stages: Any) -> None:
    sft, dpo, extend, dpo_extend = four_stages
    run = arms(build, four_stages)
    run.stages = (sft, dpo)
    assert not {"E1", "E2"} & set(run.findings())
    run.stages = (sft, dpo, replace(extend, start="sft"), dpo_extend)
    assert not {"E1", "E2"} & set(run.findings())
    run.stages = (sft, dpo, extend)
    assert "E1" in run.findings()
    assert "E2" not in run.findings()
