"""S1 to S6 on courses that can be checked by eye: five evaluations at steps 0, 10, 20, 30, 40 of one SFT stage."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, Finding

# course, spread over examples, verdict, words in the reason
THROUGHOUT = {
    "rises": ([-20, -16, -13, -11, -10], 0.5, HOLDS, "Both parts hold"),
    # 10 % of the rise of 10 is 1.0; the dip of 0.4 between steps 10 and 20 stays well under it
    "rises with a small dip": ([-20, -15, -15.4, -12, -10], 0.3, HOLDS, "Both parts hold"),
    "falls": ([-20, -21, -22, -23, -24], 0.5, FAILS, "change of {probe} over sft: -4"),
    "gives back half": ([-20, -12, -10, -13, -15], 0.5, FAILS, "deepest fall of {probe} on the way"),
    "dips under its start first": ([-20, -24, -18, -14, -10], 0.5, FAILS, "(step 0 to 10, mean +3)"),
    "does not move beyond noise": ([-20, -20, -20, -20, -20], 2.0, INCONCLUSIVE, "Both parts are undecided"),
    # a dip of 1.0 is 10 % of the rise: neither more nor less
    "dips by just the share allowed": ([-20, -15, -16, -12, -10], 0.5, INCONCLUSIVE, "1 of 2 parts is undecided"),
}

BELL = {
    "rises, then falls": ([-20, -17, -15, -18, -22], 0.5, HOLDS, "Both parts hold"),
    "rises, then falls but stays above its start": ([-20, -14, -12, -14, -16], 0.5, HOLDS, "Both parts hold"),
    "only rises": ([-20, -18, -16, -14, -12], 0.5, FAILS, "fall of {probe} after its peak"),
    "only falls": ([-20, -21, -23, -26, -30], 0.5, FAILS, "rise of {probe} over sft to its peak"),
    # 0.3 of a rise of 8 is less than a tenth: that is a plateau, not a fall
    "rises to a plateau": ([-20, -14, -12, -12.1, -12.3], 0.3, FAILS, "fall of {probe} after its peak"),
    "gives back just a tenth": ([-20, -14, -10, -10.5, -11], 0.5, INCONCLUSIVE, "fall of {probe} after its peak"),
    "rises within noise": ([-20, -20, -20, -23, -26], 2.0, INCONCLUSIVE, "rise of {probe} over sft to its peak"),
}


def cases(table: dict[str, Any], claims: dict[str, str]) -> list[Any]:
    return [
        pytest.param(claim, probe, *case, id=f"{claim} {name}")
        for claim, probe in claims.items()
        for name, case in table.items()
    ]


@pytest.mark.parametrize(
    ("claim", "probe", "course", "spread", "verdict", "words"),
    [
        *cases(THROUGHOUT, {"S1": "chosen", "S4": "irr_train"}),
        *cases(BELL, {"S2": "chosen_gptsemantic", "S3": "rejected"}),
    ],
)
def test_a_course_gets_its_verdict_and_its_reason(
    build: Any, four_stages: Any, claim: str, probe: str, course: list[float], spread: float, verdict: str, words: str
) -> None:
    finding = build(spread=spread).add(four_stages[0], probe, course).findings()[claim]
    assert finding.verdict == verdict, finding.reason
    assert words.format(probe=probe) in finding.reason
    assert finding.n == 40
    if verdict == HOLDS:
        assert 0 < finding.ci_low <= finding.estimate <= finding.ci_high


def test_the_estimate_of_s1_is_the_mean_change_and_of_s3_the_rise_to_the_peak(build: Any, four_stages: Any) -> None:
    run = build(spread=0.2).add(four_stages[0], "chosen", [-20, -16, -13, -11, -10])
    run.add(four_stages[0], "rejected", [-20, -17, -15, -18, -22])
    findings = run.findings()
    assert findings["S1"].estimate == pytest.approx(10)
    assert findings["S3"].estimate == pytest.approx(5, abs=1e-9)


@pytest.mark.parametrize(
    ("claim", "probes"), [("S5", ("irr_test", "irr_hum")), ("S6", ("random_permute", "random_nonhum"))]
)
@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([-20, -19, -22], [-30, -31, -33], HOLDS),  # a brief rise on the way does not matter
        ([-20, -19, -22], [-30, -31, -29], FAILS),
        ([-20, -21, -18], [-30, -31, -29], FAILS),
        ([-20, -21, -22], [-30, -31, -30], INCONCLUSIVE),
        ([-20, -21, -20], [-30, -31, -29], FAILS),
    ],
)
def test_two_probes_must_both_end_lower(
    build: Any, four_stages: Any, claim: str, probes: tuple[str, str], first: Any, second: Any, verdict: str
) -> None:
    run = build().add(four_stages[0], probes[0], first).add(four_stages[0], probes[1], second)
    finding = run.findings()[claim]
    assert finding.verdict == verdict
    assert finding.estimate == pytest.approx(first[-1] - first[0])


def test_a_claim_whose_probes_or_stage_are_absent_is_not_listed(build: Any, four_stages: Any) -> None:
    sft, dpo, extend, _ = four_stages
    only_one = build().add(sft, "chosen", [-20, -15, -10]).add(sft, "irr_test", [-20, -21, -22])
    assert set(only_one.findings()) == {"S1"}
    only_chosen = build(stages=(dpo,)).add(dpo, "chosen", [-20, -15, -10])
    assert set(only_chosen.findings()) == {"D1", "D3"}  # y⁺ and y* alone can be judged
    assert build(stages=(extend,)).add(extend, "chosen", [-20, -15, -10]).findings() == {}
    second = replace(sft, name="second")
    assert build(stages=(sft, second)).add(second, "chosen", [-20, -15, -10]).findings() == {}  # no stand-in
    assert build().add(sft, "chosen", [-20]).findings() == {}  # killed before the second evaluation
    assert build().add(sft, "chosen", [-20, -15, -10], split="test").findings() == {}


def test_the_test_split_has_no_part_in_a_verdict(build: Any, four_stages: Any) -> None:
    alone = build().add(four_stages[0], "chosen", [-20, -15, -10])
    joined = build().add(four_stages[0], "chosen", [-20, -15, -10])
    joined.add(four_stages[0], "chosen", [-20, -25, -30], split="test")
    assert joined.findings() == alone.findings()


@pytest.mark.parametrize("examples", [1, 2, 7])
def test_with_few_examples_the_verdict_is_open_however_large_the_change(
    build: Any, four_stages: Any, examples: int
) -> None:
    finding = build(examples=examples).add(four_stages[0], "chosen", [-200, -100, -10]).findings()["S1"]
    assert finding.verdict == INCONCLUSIVE
    assert math.isnan(finding.ci_low)
    assert finding.estimate == pytest.approx(190)
    assert "8 are needed" in finding.reason


def test_two_evaluations_do_not_show_a_course(build: Any, four_stages: Any) -> None:
    run = build().add(four_stages[0], "chosen", [-20, -10]).add(four_stages[0], "rejected", [-20, -10])
    findings = run.findings()
    assert (findings["S1"].verdict, findings["S3"].verdict) == (INCONCLUSIVE, INCONCLUSIVE)
    assert findings["S1"].estimate == pytest.approx(10)
    assert "only two evaluations" in findings["S1"].reason


def test_a_stage_that_stopped_early_leaves_its_claims_open(build: Any, four_stages: Any) -> None:
    run = build().add(four_stages[0], "chosen", [-20, -15, -10])
    assert run.findings({"sft": 20})["S1"].verdict == HOLDS
    stopped = run.findings({"sft": 120})["S1"]
    assert stopped.verdict == INCONCLUSIVE
    assert "stage sft stopped at step 20 of 120" in stopped.reason


def test_examples_that_lack_a_moment_are_left_out_of_what_needs_it(build: Any, four_stages: Any) -> None:
    run = build(spread=0.2).add(four_stages[0], "chosen", [-20, -15, -10])
    table = run.table
    run.frames = [table[~((table["example_id"] == "q3") & (table["step"] == 20))]]
    run.add(four_stages[0], "rejected", [-20, -15, -22])
    findings: dict[str, Finding] = run.findings()
    assert (findings["S1"].n, findings["S3"].n) == (39, 40)
    assert findings["S1"].verdict == HOLDS


def test_a_flat_course_is_hardly_ever_called_a_bell_or_a_rise(build: Any, four_stages: Any) -> None:
    """The worst case for a claim on a course: nothing happens at all. At most 2.5 % may be called otherwise."""
    rng = np.random.default_rng(8)
    wrong = 0
    run = build(examples=25).add(four_stages[0], "rejected", [0.0] * 8).add(four_stages[0], "chosen", [0.0] * 8)
    table = run.table
    for _ in range(60):
        noise = rng.normal(size=len(table)) + np.repeat(rng.normal(size=len(table) // 8), 8)
        run.frames = [table.assign(logp=noise - 50)]
        findings = run.findings()
        wrong += findings["S3"].verdict == HOLDS
        wrong += findings["S1"].verdict == HOLDS
    assert wrong <= 6  # of 120; 3 expected at the very most, in truth fewer as both parts must hold


def test_the_rise_of_other_answers_is_told_beside_that_of_unseen_ones(build: Any, four_stages: Any) -> None:
    sft = four_stages[0]
    run = build(spread=0.5).add(sft, "irr_train", [-20, -15, -10]).add(sft, "irr_test", [-20, -18, -13])
    finding = run.findings()["S4"]
    assert finding.estimate == pytest.approx(10, abs=0.02)  # the verdict is about irr_train alone
    assert "minus that of irr_test, the control: +3 [" in finding.reason  # +10 against +7
