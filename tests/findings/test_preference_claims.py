"""D1 to D3 on courses that can be checked by eye."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, StageInfo

FALLING = {
    "chosen": [-20, -24, -30],
    "rejected": [-20, -50, -80],
    "reject_gptsemantic": [-20, -40, -55],
    "reject_gptformat": [-20, -35, -50],
    "chosen_gptsemantic": [-20, -25, -32],
    "irr_train": [-20, -22, -26],
}
SFT_COURSE = [-30, -25, -20]  # +10 over 160 examples seen: 62.5 nats per 1000


def dpo_run(
    build: Any,
    stages: Any,
    courses: dict[str, list[float]],
    *,
    greedy: list[float] | None = None,
    outside: list[float] | None = None,
    spread: float = 0.5,
) -> Any:
    sft, dpo, *_ = stages
    run = build(spread=spread).add(sft, "chosen", SFT_COURSE)
    for probe, course in courses.items():
        columns = {"logp_argmax": greedy or [-15, -8, -3], "log_mass_rest": outside or [-10, -14, -20]}
        run.add(dpo, probe, course, **(columns if probe == "chosen" else {}))
    return run


@pytest.mark.parametrize(
    ("changed", "verdict", "estimate", "words"),
    [
        ({}, HOLDS, -6, "irr_train"),
        ({"irr_train": [-20, -19, -16]}, FAILS, 4, "irr_train, mean +4): +4"),
        ({"chosen": [-20, -19, -18]}, FAILS, 2, "chosen, mean +2): +2"),
        (
            {"chosen": [-20, -15, -21]},
            HOLDS,
            -1,
            "chosen, mean -1): -1",
        ),  # the rise at first does not matter
        ({"chosen": [-20, -20, -20]}, INCONCLUSIVE, 0, "[-0."),
    ],
)
def test_every_response_must_fall(
    build: Any, four_stages: Any, changed: dict[str, list[float]], verdict: str, estimate: float, words: str
) -> None:
    finding = dpo_run(build, four_stages, FALLING | changed).findings()["D1"]
    assert finding.verdict == verdict
    assert finding.estimate == pytest.approx(estimate, abs=0.02)
    assert words in finding.reason


def test_how_many_responses_fall_is_counted(build: Any, four_stages: Any) -> None:
    reason = dpo_run(build, four_stages, FALLING | {"irr_train": [-20, -19, -16]}).findings()["D1"].reason
    assert "5 of 6 responses fall in the mean, chosen by -10 nats" in reason


@pytest.mark.parametrize(
    ("changed", "verdict", "estimate", "words"),
    [
        ({}, HOLDS, -25, "Both parts hold"),  # -60 against -35 of reject_gptsemantic
        ({"irr_train": [-20, -60, -95]}, FAILS, 15, "rejected against irr_train"),
        ({"reject_gptsemantic": [-20, -60, -95]}, FAILS, 15, "rejected against reject_gptsemantic"),
        # a look-alike (-30) falls more slowly than an unrelated answer (-40): y⁻ is fastest, but what follows is not
        ({"irr_train": [-20, -40, -60]}, FAILS, -20, "reject_gptformat against irr_train"),
        ({"irr_train": [-20, -40, -50]}, INCONCLUSIVE, -25, "reject_gptformat against irr_train"),  # -30 both
        ({"chosen": [-20, -50, -80]}, FAILS, 0, "reject_gptformat against chosen"),
    ],
)
def test_rejected_falls_fastest_and_its_look_alikes_next(
    build: Any, four_stages: Any, changed: dict[str, list[float]], verdict: str, estimate: float, words: str
) -> None:
    finding = dpo_run(build, four_stages, FALLING | changed).findings()["D2"]
    assert finding.verdict == verdict
    assert finding.estimate == pytest.approx(estimate, abs=0.02)
    assert words in finding.reason


@pytest.mark.parametrize(
    ("changed", "greedy", "verdict", "words"),
    [
        ({}, [-20, -8, -3], HOLDS, "Both parts hold"),
        ({}, [-15, -16, -20], FAILS, "change of the greedy mass along chosen over dpo: -5"),
        ({"chosen": [-20, -15, -12]}, [-20, -8, -3], FAILS, "the one that falls less (chosen, mean +8): +8"),
    ],
)
def test_squeezing_needs_the_greedy_mass_to_rise_while_the_rest_falls(
    build: Any,
    four_stages: Any,
    changed: dict[str, list[float]],
    greedy: list[float],
    verdict: str,
    words: str,
) -> None:
    finding = dpo_run(build, four_stages, FALLING | changed, greedy=greedy).findings()["D3"]
    assert finding.verdict == verdict
    assert finding.estimate == pytest.approx(greedy[-1] - greedy[0])
    assert words in finding.reason


@pytest.mark.parametrize(
    ("greedy", "verdict", "words"),
    [
        ([-20, -8, -3], HOLDS, "chosen in sft, at one learning rate: +43.8"),  # 17 / 0.16 - 10 / 0.16
        ([-15, -10, -5], INCONCLUSIVE, "at one learning rate"),  # +10, just as fast
        ([-15, -14, -9], FAILS, "at one learning rate: -25"),  # 6 / 0.16 - 10 / 0.16
    ],
)
def test_whether_the_greedy_mass_rises_faster_than_sft_raised_chosen(
    build: Any, four_stages: Any, greedy: list[float], verdict: str, words: str
) -> None:
    finding = dpo_run(build, four_stages, FALLING, greedy=greedy).findings()["D3b"]
    assert finding.verdict == verdict
    assert words in finding.reason


def test_the_rise_of_the_greedy_mass_is_counted_per_example_seen(build: Any, four_stages: Any) -> None:
    sft, dpo, *_ = four_stages
    run = build().add(sft, "chosen", SFT_COURSE)
    run.batch = 16  # the preference stage sees twice as many examples for each update
    finding = run.add(dpo, "chosen", [-20, -24, -30], logp_argmax=[-20, -8, -3]).findings()["D3b"]
    assert finding.verdict == FAILS
    assert finding.estimate == pytest.approx(17 / 0.32 - 10 / 0.16)


def test_rises_are_compared_at_one_learning_rate(build: Any, four_stages: Any) -> None:
    sft, dpo, *_ = four_stages
    sft, dpo = replace(sft, learning_rate=2e-4), replace(dpo, learning_rate=2e-5)
    run = build(stages=(sft, dpo)).add(sft, "chosen", SFT_COURSE)
    finding = run.add(dpo, "chosen", [-20, -24, -30], logp_argmax=[-20, -19, -17]).findings()["D3b"]
    assert finding.estimate == pytest.approx(10 * 3 / 0.16 - 10 / 0.16)
    assert "times 10 at that of sft" in finding.reason


def test_a_preference_stage_after_extending_does_not_stand_in_for_one_that_has_not_begun(
    build: Any, four_stages: Any
) -> None:
    sft, dpo, extend, dpo_extend = four_stages
    run = build(stages=(sft, extend, dpo_extend, dpo)).add(sft, "chosen", SFT_COURSE)
    for probe, course in FALLING.items():
        run.add(dpo_extend, probe, course)
    assert set(run.findings()) == {"S1"}


def test_what_a_run_without_look_alikes_or_sft_cannot_tell_is_not_listed(build: Any, four_stages: Any) -> None:
    few = {probe: FALLING[probe] for probe in ("chosen", "rejected")}
    assert {"D1", "D3", "D3b"} <= set(dpo_run(build, four_stages, few).findings())
    assert "D2" not in dpo_run(build, four_stages, few).findings()
    alone = StageInfo("dpo", "dpo", "pairwise", ("chosen", "rejected"), "base")
    run = build(stages=(alone,))
    for probe, course in FALLING.items():
        run.add(alone, probe, course)
    assert set(run.findings()) == {"D1", "D2", "D3"}


def test_stages_are_known_by_what_they_do_not_by_their_names(build: Any, four_stages: Any) -> None:
    named = dpo_run(build, four_stages, FALLING).findings()
    sft = StageInfo("dpo", "x", "pointwise", ("chosen",), "base")
    dpo = StageInfo("sft", "y", "pairwise", ("chosen", "rejected"), "dpo")
    other = build(stages=(sft, dpo))
    other.frames = [dpo_run(build, four_stages, FALLING).table.replace({"stage": {"sft": "dpo", "dpo": "sft"}})]
    found = other.findings()
    assert set(found) == set(named)
    assert all(found[name].verdict == named[name].verdict for name in named)
    assert all(found[name].ci_low == named[name].ci_low for name in named)


def test_a_probe_that_some_examples_lack_is_compared_on_those_that_have_it(build: Any, four_stages: Any) -> None:
    _, dpo, *_ = four_stages
    run = dpo_run(build, four_stages, FALLING)
    run.add(dpo, "chosen_selfr", [-20, -20.2, -20.5], examples=12, spread=0.1)
    finding = run.findings()["D1"]
    assert (finding.verdict, finding.n) == (HOLDS, 12)
    assert finding.estimate == pytest.approx(-0.5, abs=0.2)
    run.add(dpo, "chosen_initial", [-20, -21, -30], examples=3)
    unsure = run.findings()["D1"]
    assert unsure.verdict == INCONCLUSIVE
    assert "only 3 probe examples" in unsure.reason


def test_a_preference_stage_that_stopped_early_leaves_its_claims_open(build: Any, four_stages: Any) -> None:
    run = dpo_run(build, four_stages, FALLING, greedy=[-20, -8, -3])
    verdicts = {name: finding.verdict for name, finding in run.findings({"sft": 20, "dpo": 400}).items()}
    assert verdicts == {"S1": HOLDS, "D1": INCONCLUSIVE, "D2": INCONCLUSIVE, "D3": INCONCLUSIVE, "D3b": INCONCLUSIVE}
