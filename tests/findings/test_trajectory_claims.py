"""S, D, E, D4 and O1 on courses whose means are exact, in three seeds that differ a little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ldyn.findings import find_all
from ldyn.findings.claims_sft import fall_from_peak, rise_to_peak
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, NO_EFFECT, FindingOverSeeds, StageInfo

Courses = Mapping[str, Sequence[float]]
Judge = Callable[..., FindingOverSeeds]
JITTER = (-0.2, 0.0, 0.2)


@pytest.fixture
def judge(build: Any, over_seeds: Any) -> Judge:
    """Finding ``claim`` over three seeds of stages with these courses; "probe/greedy" gives the greedy mass along it.

    Seed r adds JITTER[r] times the share of the stage that has passed.
    """

    def finding(claim: str, courses: Mapping[StageInfo, Courses], **changes: Any) -> FindingOverSeeds:
        runs = []
        for jitter in JITTER:
            run = build(stages=tuple(courses), examples=12, spread=0.1 + jitter / 10)
            for stage, of_stage in courses.items():
                for probe, course in of_stage.items():
                    if not probe.endswith("/greedy"):
                        greedy = of_stage.get(f"{probe}/greedy")
                        extra = {} if greedy is None else {"logp_argmax": shifted(greedy, jitter)}
                        run.add(stage, probe, shifted(course, jitter), **extra)
            runs.append(run)
        return over_seeds(*runs, **changes).get(claim)

    return finding


def shifted(course: Sequence[float], jitter: float) -> list[float]:
    return list(np.asarray(course) + jitter * np.linspace(0, 1, len(course)))


def verdicts(finding: FindingOverSeeds) -> dict[str, str]:
    return {part.name: part.verdict for part in finding.parts}


@pytest.mark.parametrize(
    ("course", "verdict", "second_half"),
    [
        ([-30, -20, -10], HOLDS, HOLDS),
        ([-30, -10, -15], HOLDS, FAILS),  # it ends higher: primary; it did not keep rising: secondary
        ([-30, -31, -40], FAILS, FAILS),
        ([-30, -30, -30.1], NO_EFFECT, NO_EFFECT),
    ],
)
def test_s1_and_s4_by_the_change_and_the_second_half(
    judge: Judge, four_stages: Any, course: Any, verdict: str, second_half: str
) -> None:
    probes = {"chosen": course, "irr_train": course, "irr_test": [-30, -30, -30]}
    s1, s4 = (judge(name, {four_stages[0]: probes}) for name in ("S1", "S4"))
    assert list(verdicts(s1).values()) == [verdict, second_half]
    assert list(verdicts(s4).values())[:2] == [verdict, second_half]
    assert s4.parts[2].estimate == pytest.approx(course[2] - course[0], abs=0.01)


def test_a_peak_is_chosen_by_the_other_units() -> None:
    """Units 1 and 2 peak at step 1, so unit 0 is read there; the sums of the other two peak at step 2."""
    curves = pd.DataFrame([[0.0, 1, 9, 3], [0.0, 5, 0, -1], [0.0, 4, 1, -2]])
    assert list(rise_to_peak(curves)) == [1, 0, 1]
    assert list(fall_from_peak(curves)) == [1 - 3, 0 + 1, 1 + 2]
    assert list(rise_to_peak(curves.iloc[:1])) == [9]


@pytest.mark.parametrize(
    ("course", "parts"),
    [
        ([-97, -87, -92, -105], [HOLDS, HOLDS]),
        ([-97, -87, -87, -87], [HOLDS, NO_EFFECT]),  # a plateau is no bell
        ([-97, -95, -90, -80], [HOLDS, FAILS]),
        ([-97, -99, -102, -105], [FAILS, HOLDS]),
    ],
)
def test_s2_and_s3_need_a_rise_and_a_fall(judge: Judge, four_stages: Any, course: Any, parts: list[str]) -> None:
    for claim, probe in (("S2", "chosen_gptsemantic"), ("S3", "rejected")):
        found = judge(claim, {four_stages[0]: {probe: course}})
        assert list(verdicts(found).values()) == parts
        assert found.verdict == next((v for v in (FAILS, NO_EFFECT) if v in parts), HOLDS)
    assert judge("S3", {four_stages[0]: {"rejected": [-97, -87]}}) is None  # no evaluation between the ends


def test_s5_and_s6_need_both_probes_to_fall(judge: Judge, four_stages: Any) -> None:
    down, up = [-20, -25, -30], [-20, -15, -10]
    for claim, one, other in (("S5", "irr_test", "irr_hum"), ("S6", "random_permute", "random_nonhum")):
        assert judge(claim, {four_stages[0]: {one: down, other: down}}).verdict == HOLDS
        assert judge(claim, {four_stages[0]: {one: down, other: up}}).verdict == FAILS
        alone = judge(claim, {four_stages[0]: {one: down}})
        assert alone.verdict == INCONCLUSIVE  # a primary part was not measured


# ------------------------------------------------------------------------------------------------ DPO

FALLEN: Courses = {
    "chosen": [-30, -33, -36], "chosen/greedy": [-20, -17, -14], "rejected": [-30, -50, -70],
    "reject_gptsemantic": [-30, -40, -55], "irr_train": [-30, -32, -40], "random_permute": [-30, -29, -28],
}  # fmt: skip


def test_d1_is_about_fluent_responses_and_judges_shuffled_words_apart(judge: Judge, four_stages: Any) -> None:
    found = judge("D1", {four_stages[1]: FALLEN})
    assert (found.verdict, found.estimate) == (HOLDS, pytest.approx(-6))
    assert found.parts[2].estimate == pytest.approx((-25 - 10) / 2)  # look-alike of y⁻ and another question's answer
    assert verdicts(found)["change of random_permute"] == FAILS
    assert judge("D1", {four_stages[1]: {**FALLEN, "chosen": [-30, -28, -26]}}).verdict == FAILS


def test_an_estimate_is_the_mean_whatever_its_interval(judge: Judge, four_stages: Any) -> None:
    found = judge("D1", {four_stages[1]: {**FALLEN, "chosen": [-30, -30, -30 - 1e-3]}})
    assert found.estimate == pytest.approx(-1e-3, abs=1e-9)
    assert found.verdict == NO_EFFECT


def test_d2_compares_the_pair_and_shows_every_other_response(judge: Judge, four_stages: Any) -> None:
    found = judge("D2", {four_stages[1]: FALLEN})
    assert (found.verdict, found.estimate) == (HOLDS, pytest.approx(-34))
    # what resembles y⁻: −25; what does not: y⁺ −6 and irr_train −10
    assert found.parts[1].estimate == pytest.approx(-25 + 8)
    assert verdicts(found)["change of y⁻ minus that of irr_train"] == HOLDS
    assert judge("D2", {four_stages[1]: {**FALLEN, "rejected": [-30, -30, -30]}}).verdict == FAILS


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, HOLDS),
        ({"chosen/greedy": [-20, -22, -26]}, FAILS),
        ({"chosen": [-30, -28, -24]}, FAILS),
        ({"rejected": [-30, -30, -30]}, NO_EFFECT),
    ],
)
def test_d3_needs_the_greedy_mass_up_and_both_answers_down(
    judge: Judge, four_stages: Any, changed: Courses, verdict: str
) -> None:
    assert judge("D3", {four_stages[1]: {**FALLEN, **changed}}).verdict == verdict


def test_d3b_compares_rates_at_one_learning_rate(judge: Judge, four_stages: Any) -> None:
    """8 examples a step: 160 in each stage. SFT +4 at 2e-6, DPO +6 at 1e-6: (2 · 6 − 4) / 160 · 1000."""
    sft, dpo = replace(four_stages[0], learning_rate=2e-6), replace(four_stages[1], learning_rate=1e-6)
    courses = {"chosen": [-30.0, -28, -26]}
    found = judge("D3b", {sft: courses, dpo: FALLEN})
    assert (found.verdict, found.estimate) == (HOLDS, pytest.approx(50))
    assert judge("D3b", {four_stages[0]: courses, four_stages[1]: FALLEN}).estimate == pytest.approx(12.5)
    assert judge("D3b", {dpo: FALLEN}) is None


def arm(name: str, start: str, chosen: Sequence[float], greedy: Sequence[float], sampled: tuple[str, ...] = ()) -> Any:
    """Stages <name>_1 … of one arm, each from the one before, with their courses."""
    stages: dict[StageInfo, Courses] = {}
    for number in range(1, len(chosen)):
        stage = StageInfo(f"{name}_{number}", "dpo", "pairwise", ("chosen", "rejected"), start, None, sampled)
        stages[stage] = {"chosen": chosen[number - 1 : number + 1], "chosen/greedy": greedy[number - 1 : number + 1]}
        start = stage.name
    return stages


@pytest.mark.parametrize(
    ("chosen", "greedy", "verdict", "estimate"),
    [
        ([-20, -21, -22], [-15, -14, -13], HOLDS, (7 + 12) - (2 + 2)),
        ([-20, -30, -36], [-15, -9, -5], FAILS, (7 + 12) - (10 + 16)),
        ([-20, -26, -32], [-15, -11, -8], NO_EFFECT, 0),
    ],
)
def test_o1_compares_the_squeeze_over_all_rounds(
    judge: Judge, four_stages: Any, chosen: Any, greedy: Any, verdict: str, estimate: float
) -> None:
    off = arm("off", "sft", [-20, -26, -32], [-15, -11, -8])
    on = arm("on", "sft", chosen, greedy, ("chosen", "rejected"))
    spin = arm("spin", "sft", [-20, -40, -60], [-15, -5, -1], ("rejected",))
    sft = {four_stages[0]: {"chosen": [-30, -25, -20]}}
    found = judge("O1", {**sft, **off, **on, **spin})
    assert (found.verdict, found.estimate) == (verdict, pytest.approx(estimate, abs=0.01))
    assert found.parts[3].estimate == pytest.approx((7 + 12) - (14 + 40))  # SPIN, secondary
    assert judge("O1", {**sft, **off}) is None
    shorter = arm("on", "sft", chosen[:2], greedy[:2], ("chosen", "rejected"))
    assert judge("O1", {**sft, **off, **shorter}) is None  # another number of rounds


@pytest.mark.parametrize(("long_chosen", "verdict"), [([-20, -30], HOLDS), ([-20, -12], FAILS)])
def test_d4_compares_the_longest_sft_with_the_shortest(
    judge: Judge, four_stages: Any, long_chosen: Any, verdict: str
) -> None:
    sft = four_stages[0]
    courses: dict[StageInfo, Courses] = {}
    for name, evaluations, chosen in (("", 3, [-20, -25]), ("short", 2, [-20, -22]), ("long", 5, long_chosen)):
        start = replace(sft, name=f"sft{name}")
        courses[start] = {"chosen": [-40.0 + number for number in range(evaluations)]}
        courses |= arm(f"dpo{name}", start.name, chosen, [-15, -13])
    found = judge("D4", courses)
    assert (found.verdict, found.estimate) == (verdict, pytest.approx(-2 - (long_chosen[1] - long_chosen[0])))


@pytest.fixture
def extended(four_stages: Any) -> dict[StageInfo, Courses]:
    """The baseline, an extended arm of as many updates, and first in order a longer one."""
    sft, dpo, extend, dpo_extend = four_stages
    longer, dpo_longer = replace(extend, name="longer"), replace(dpo_extend, name="dpo_longer", start="longer")
    mild = {"chosen": [-30, -31, -32], "chosen/greedy": [-20, -19, -18], "chosen_gptsemantic": [-30, -31, -32]}
    return {
        longer: {"chosen": [-60, -50, -40, -35, -30], "rejected": [-60, -50, -45, -44, -43]},
        dpo_longer: {**mild, "chosen": [-30, -40, -50]},
        sft: {"chosen": [-60, -45, -30], "rejected": [-60, -55, -50]},
        dpo: {**FALLEN, "chosen_gptsemantic": [-30, -35, -40]},
        extend: {"chosen": [-60, -45, -30], "rejected": [-60, -45, -30]},
        dpo_extend: mild,
    }


def test_e1_and_e2_are_about_the_arm_of_as_many_updates(judge: Judge, extended: Any) -> None:
    e1, e2 = judge("E1", extended), judge("E2", extended)
    assert (e1.verdict, e1.estimate) == (HOLDS, pytest.approx(20))
    assert e1.parts[-1].name.endswith("in longer")
    assert e1.parts[-1].estimate == pytest.approx(7)
    assert (e2.verdict, e2.estimate) == (HOLDS, pytest.approx((6 + 6) - (2 + 2)))
    of = {part.name: part.estimate for part in e2.parts}
    assert of["change of its rephrase, baseline minus extended"] == pytest.approx(-8)
    assert of["squeeze of the baseline minus that of longer"] == pytest.approx(12 - 22)


def test_without_a_baseline_or_an_extended_arm_nothing_is_compared(judge: Judge, extended: Any) -> None:
    alone = {stage: courses for stage, courses in extended.items() if stage.name in ("sft", "dpo")}
    assert judge("E1", alone) is None
    assert judge("E2", alone) is None


def wins(arm_name: str, counts: tuple[int, int, int], epoch: float, split: str = "test", judge: str = "oracle") -> Any:
    won = [value for value, count in zip((1.0, 0.5, 0.0), counts, strict=True) for _ in range(count)]
    ids = [f"{split}-{number}" for number in range(len(won))]
    table = pd.DataFrame({"epoch": epoch, "example_id": ids, "won": won})
    return table.assign(judge=judge, arm=arm_name, baseline="dpo", split=split)


def test_e3_is_decided_by_the_first_judge_on_unseen_questions_up_to_six_epochs(build: Any, extended: Any) -> None:
    run = build(stages=tuple(extended))
    for stage, courses in extended.items():
        run.add(stage, "chosen", courses["chosen"])

    def e3(table: pd.DataFrame) -> Any:
        found = find_all(run.table, run.stages, None, {"wins": table})
        return next((one for one in found if one.id == "E3"), None)

    more, even, lost = (60, 130, 10), (10, 180, 10), (10, 130, 60)
    table = pd.concat(
        [
            wins("dpo_both", lost, 0.0),  # before DPO
            wins("dpo_both", more, 2.0),
            wins("dpo_both", even, 6.0),
            wins("dpo_both", lost, 20.0),
            wins("dpo_both", lost, 2.0, split="train"),
            wins("dpo_both", lost, 2.0, judge="api"),
            wins("dpo_longer", even, 2.0),
        ]
    )
    finding = e3(table)
    of = {part.name: part.estimate for part in finding.parts}
    assert finding.estimate == pytest.approx((0.625 + 0.5) / 2)
    assert finding.n == 200
    assert of["wins at the end of DPO"] == pytest.approx(0.375)
    assert of["wins by api"] == pytest.approx(0.375)
    assert of["wins of longer"] == pytest.approx(0.5)
    assert e3(table[table["epoch"] == 0]) is None


def test_the_rise_of_noise_to_its_peak_is_not_biased() -> None:
    flat = pd.DataFrame(np.random.default_rng(0).normal(size=(2000, 7)))
    assert rise_to_peak(flat).mean() == pytest.approx(0, abs=0.08)
    assert flat.iloc[:, 1:-1].max(axis=1).mean() > 1  # each unit's own peak is
