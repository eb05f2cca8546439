"""R1 to R5 on small tables of sampled answers whose numbers can be worked out by hand, in five seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ldyn.findings import findings_over_seeds
from ldyn.numerics.statistics import pass_at
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, NO_EFFECT, FindingOverSeeds, StageInfo
from ldyn.store import Run

SFT = StageInfo("sft", "sft", "pointwise", ("chosen",), "base")
ARMS = {
    name: StageInfo(name, "grpo", "groupwise", (), "sft")
    for name in ("grpo", "grpo_positive", "grpo_negative", "grpo_nthr")
}
DPO = [
    StageInfo(f"dpo_{i}", "dpo", "pairwise", ("chosen", "rejected"), start) for i, start in ((1, "sft"), (2, "dpo_1"))
]
SEEDS = range(5)
Group = Sequence[float]


def judged(runs: Sequence[Run]) -> dict[str, FindingOverSeeds]:
    return {one.id: one for one in findings_over_seeds({"exp": runs})}


def parts(finding: FindingOverSeeds) -> dict[str, float]:
    return {part.name: part.estimate for part in finding.parts}


@pytest.mark.parametrize("k", [1, 3, 8])
def test_pass_at_k_is_the_share_of_draws_without_replacement_that_have_a_right_answer(k: int) -> None:
    for n, c in ((8, 0), (8, 1), (8, 5), (8, 8), (12, 4)):
        assert float(pass_at(k, n, c)) == pytest.approx(1 - comb(n - c, k) / comb(n, k))
    assert pass_at(k, [8, 8], [8, 0]).tolist() == [1, 0]
    assert np.isnan(pass_at(9, 8, 3))


# ------------------------------------------------------------------------------------------------------------- R1


def rollouts(
    arms: Mapping[str, Sequence[Group]], shift: float = 0.0, shared: Group = (0.2, 0.4, 0.6, 0.8)
) -> pd.DataFrame:
    """One group a prompt: the changes of four rewarded answers (nats per token), and a wrong one that rises by 50."""
    rows = []
    for arm, groups in arms.items():
        for number, changes in enumerate(groups):
            own = [*((change + shift, True, 0.5, part) for change, part in zip(changes, shared, strict=True))]
            for place, (change, correct, advantage, part) in enumerate([*own, (50.0, False, -2.0, np.nan)]):
                rows.append(
                    {
                        "stage": arm, "step": number // 2, "example_id": f"q{number}", "response": place,
                        "n_tokens": 10, "correct": correct, "advantage": advantage, "logp_before": -20.0,
                        "logp_after": -20 + 10 * change, "shared_tokens": part,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


Seeds = Callable[..., list[Run]]


@pytest.fixture
def five(build: Any, run_of: Any) -> Seeds:
    """The same groups in five seeds, each a little higher, or the given table in each."""

    def runs(groups: Mapping[str, Sequence[Group]], table: pd.DataFrame | None = None, **settings: Any) -> list[Run]:
        stages = (SFT, *(StageInfo(name, "grpo", "groupwise", (), "sft") for name in groups))
        made = []
        for seed in SEEDS:
            curves = build(stages=stages, examples=4, spread=0.1 + seed / 100)
            for stage in stages:
                curves.add(stage, "rejected", [-9.0, -9.0])
            own = rollouts(groups, 1e-4 * seed, **settings) if table is None else table
            made.append(run_of(seed, curves.table, stages, {"rollouts": own}))
        return made

    return runs


def test_r1_counts_what_falls_or_hardly_rises(five: Seeds) -> None:
    """Mean |change| of grpo about (1 + 2 + 1 + 0.04) / 4: 0.04 is hardly a rise. Two of four; in the other arms one."""
    groups = [(1.0, 2.0, -1.0, 0.04)] * 4
    alone = [(1.0, 2.0, 1.0, -0.5)] * 4
    found = judged(five({"grpo": groups, "grpo_positive": alone, "grpo_nthr": alone}))["R1"]
    shares = dict(zip(("lazy", "falls", "follows", "alone", "nthr"), parts(found).values(), strict=True))
    # ranks of the changes along shared tokens that grow: 3 4 1 2, whose correlation with 1 2 3 4 is 1 − 6 · 16 / 60
    assert shares == pytest.approx({"lazy": 0.5, "falls": 0.25, "follows": -0.6, "alone": 0.25, "nthr": 0.25})
    assert found.verdict == HOLDS


def test_r1_fails_where_rewarded_answers_rise(five: Seeds) -> None:
    found = judged(five({"grpo": [(1.0, 2.0, 1.5, 3.0)] * 4}))["R1"]
    assert (found.verdict, found.estimate) == (FAILS, 0.0)


def test_r1_compares_within_groups_whose_siblings_and_advantage_are_equal(five: Seeds) -> None:
    """Between groups a higher share goes with a higher change, within with a lower one; two answers are too few."""
    table = rollouts({"grpo": [(1.0, 0.9, 0.8, 0.7)]})
    other = table.assign(example_id="q9", shared_tokens=table["shared_tokens"] + 1, logp_after=table["logp_after"] + 50)
    small = table.iloc[:2].assign(example_id="q8", shared_tokens=[0.9, 0.1])
    found = judged(five({"grpo": []}, pd.concat([table, other, small])))["R1"]
    assert list(parts(found).values())[2] == -1


def test_equal_values_are_not_ranked_and_a_run_without_rewards_is_not_measured(five: Seeds) -> None:
    found = judged(five({"grpo": [(1.0, 2.0, 1.0, 1.0)]}, shared=(0.5, 0.5, 0.5, 0.5)))["R1"]
    assert not any("correlation" in name for name in parts(found))
    assert "R1" not in judged(five({"grpo": [(1.0, 1.0, 1.0, 1.0)]}, rollouts({"other": [(1, 1, 1, 1)]})))


# ------------------------------------------------------------------------------------------------------- R2 to R5


def passes(stage: str, course: Sequence[tuple[int, float]], jitter: float = 0.0, split: str = "train") -> pd.DataFrame:
    """Four questions, 8 samples each: (right ones of every question, entropy) at each probe step, 10 updates apart."""
    rows = [
        {
            "stage": stage, "step": 10 * place, "split": split, "example_id": f"q{question}", "samples": 8,
            "correct": correct, "entropy": entropy + jitter,
        }
        for place, (correct, entropy) in enumerate(course)
        for question in range(4)
    ]  # fmt: skip
    return pd.DataFrame(rows)


Courses = Mapping[StageInfo, tuple[Sequence[tuple[int, float]], Sequence[tuple[float, float]]]]


@pytest.fixture
def five_with_answers(build: Any, run_of: Any) -> Callable[[Courses], list[Run]]:
    """Stage -> its answers (as ``passes``) and its (log π(y*), log π) along y⁺ at the same steps."""

    def runs(courses: Courses) -> list[Run]:
        made = []
        for seed in SEEDS:
            jitter = 1e-3 * seed
            curves = build(stages=tuple(courses), examples=4, spread=0.0)
            for stage, (_, along) in courses.items():
                greedy, chosen = ([values[side] for values in along] for side in (0, 1))
                curves.add(
                    stage,
                    "chosen",
                    [*chosen[:-1], chosen[-1] - jitter],
                    logp_argmax=[*greedy[:-1], greedy[-1] + jitter],
                )
            answers = [passes(stage.name, own, jitter * (stage.name != "sft")) for stage, (own, _) in courses.items()]
            made.append(run_of(seed, curves.table, tuple(courses), {"passes": pd.concat(answers)}))
        return made

    return runs


FLAT = [(-20.0, -40.0), (-20.0, -40.0)]


def test_r2_and_r3_from_the_first_to_the_last_probe_step(five_with_answers: Any) -> None:
    """pass@1 from 2/8 to 0.5; pass@8 is 1 for any right answer."""
    course = [(-20.0, -40.0), (-19.0, -41.0), (-15.0, -42.0)]
    found = judged(five_with_answers({ARMS["grpo"]: ([(2, 1.0), (1, 1.5), (4, 0.5)], course)}))
    assert list(parts(found["R2"]).values())[:2] == pytest.approx([5.0, -0.5], abs=0.01)
    assert found["R2"].verdict == HOLDS
    assert list(parts(found["R3"]).values()) == pytest.approx([0.25, 0.0])
    assert found["R3"].verdict == NO_EFFECT  # pass@8 stays
    spent = judged(five_with_answers({ARMS["grpo"]: ([(1, 1.0), (0, 0.5)], FLAT)}))["R3"]
    assert list(parts(spent).values()) == pytest.approx([-1 / 8, -1.0])
    assert spent.verdict == FAILS  # pass@1 falls too


def test_r4_compares_the_ends_of_both_arms(five_with_answers: Any) -> None:
    arms = {
        ARMS["grpo"]: ([(2, 1.0), (2, 1.0)], FLAT),
        ARMS["grpo_positive"]: ([(2, 1.2), (0, 0.4)], FLAT),
        ARMS["grpo_negative"]: ([(2, 1.0), (3, 0.9)], FLAT),
    }
    found = judged(five_with_answers(arms))["R4"]
    assert list(parts(found).values()) == pytest.approx([0.5, 1.0, -0.8, -1.0, 0.0, 1 / 8], abs=1e-9)
    assert found.verdict == HOLDS


def test_r5_reads_both_arms_where_they_have_gained_the_same(five_with_answers: Any) -> None:
    """DPO's best pass@1 is 3/8, at the end of its first round: squeeze 6. GRPO passes it half way from 2/8 to 4/8.

    GRPO's squeeze is there half way from 1 to 2. At the ends: 16 and 2.
    """
    arms = {
        ARMS["grpo"]: ([(1, 1.0), (2, 1.0), (4, 1.0)], [(-20, -40), (-20, -41), (-19, -41)]),
        DPO[0]: ([(1, 1.0), (3, 1.0)], [(-20, -40), (-18, -44)]),
        DPO[1]: ([(3, 1.0), (2, 1.0)], [(-18, -44), (-16, -52)]),
    }
    found = judged(five_with_answers(arms))["R5"]
    assert list(parts(found).values()) == pytest.approx([6 - 1.5, 14.0, 2 / 8], abs=0.01)
    assert (found.verdict, found.seeds) == (HOLDS, 5)


def test_r5_names_seeds_without_an_equal_gain_and_uses_the_others(five_with_answers: Any) -> None:
    def arms(best: int) -> Courses:
        return {
            ARMS["grpo"]: ([(1, 1.0), (4, 1.0)], [(-20, -40), (-19, -41)]),
            DPO[0]: ([(1, 1.0), (best, 1.0)], [(-20, -40), (-14, -44)]),
        }

    gaining, losing = five_with_answers(arms(2)), five_with_answers(arms(0))
    found = judged([*gaining[:3], *losing[3:]])["R5"]
    # at 2/8 GRPO has a third of its squeeze of 2
    assert (found.seeds, found.estimate) == (3, pytest.approx(10 - 2 / 3, abs=0.01))
    assert "Seed 4 is not used: DPO and GRPO gain at most 0.000 and 0.375 of pass@1" in found.reason
    none = judged(losing)["R5"]
    assert (none.verdict, none.seeds) == (INCONCLUSIVE, 0)
    assert np.isnan(none.estimate)
