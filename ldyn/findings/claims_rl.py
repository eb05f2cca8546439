"""R1 to R5: what GRPO does to the answers that it samples, and to the responses of the data, beside DPO.

From `rollouts` (each sampled answer before and after the update that it takes part in), `passes` (answers sampled to
the probe questions at each probe step) and the trajectories. The arms of GRPO on positive or negative advantages alone
and with NTHR's weights are found by the ends of their names: _positive, _negative, _nthr.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from ldyn.findings.claim import Claim, Measure, Part, secondary
from ldyn.findings.equal_reward import GAIN, Course, course_of, equal_reward
from ldyn.findings.evidence import SPLIT, Evidence
from ldyn.findings.stages import arms_of
from ldyn.numerics.statistics import pass_at, rank_correlation
from ldyn.records import StageInfo

K = 8
LAZY = 0.1
"""A rise of less than this share of the stage's mean absolute change is hardly one."""
ALIKE = 3
"""The fewest rewarded answers of a group that are ranked."""

VARIANTS = ("_positive", "_negative", "_nthr")
SHARE: Mapping[str, Any] = {"unit": "share", "smallest": 0.05}
ENTROPY: Mapping[str, Any] = {"unit": "nats per token", "smallest": 0.05}
OfStage = Callable[[Evidence, StageInfo], pd.Series | None]


def _stages(*ends: str) -> Callable[[Evidence], Sequence[StageInfo]]:
    """The arms of GRPO with these ends of names, as far as they are there; "" is the main one."""

    def found(evidence: Evidence) -> Sequence[StageInfo]:
        arms = {s.name.rpartition("_")[2]: s for s in reversed(evidence.stages) if s.kind == "groupwise"}
        main = next((s for s in evidence.stages if s.kind == "groupwise" and not s.name.endswith(VARIANTS)), None)
        return [stage for end in ends if (stage := arms.get(end) if end else main)]

    return found


def _in_arm(measure: OfStage, end: str = "") -> Measure:
    def measured(evidence: Evidence) -> pd.Series | None:
        found = _stages(end)(evidence)
        return measure(evidence, found[0]) if found else None

    return measured


def _minus(measure: OfStage, other: str, first: str = "") -> Measure:
    """``measure`` in the first arm minus that in the other, paired by question."""

    def measured(evidence: Evidence) -> pd.Series | None:
        found = [measure(evidence, stage) for stage in _stages(first, other)(evidence)]
        return None if len(found) < 2 or found[0] is None or found[1] is None else (found[0] - found[1]).dropna()

    return measured


# R1: sampled answers before and after the update that rewards them


def _rewarded(evidence: Evidence, stage: StageInfo) -> pd.DataFrame | None:
    """The correct answers of a stage with a positive advantage; ``change`` of log π over the update, nats per token."""
    table = evidence.table("rollouts")
    if table is None:
        return None
    own = table[(table["stage"] == stage.name) & table["correct"].astype(bool) & (table["advantage"] > 0)]
    own = own.assign(change=(own["logp_after"] - own["logp_before"]) / own["n_tokens"])
    return own if len(own) else None


def _share_below(least: float) -> OfStage:
    """Of each prompt: the share of its rewarded answers that change by less than ``least`` of the mean |change|."""

    def share(evidence: Evidence, stage: StageInfo) -> pd.Series | None:
        own = _rewarded(evidence, stage)
        if own is None:
            return None
        lazy = own["change"] <= least * own["change"].abs().mean()
        return lazy.groupby(own["example_id"]).mean()

    return share


def _follows_sharing(evidence: Evidence, stage: StageInfo) -> pd.Series | None:
    """Of each prompt: Spearman's ρ of change and shared tokens within a group, where advantage and siblings are equal.

    Over groups of at least ALIKE rewarded answers that differ in both.
    """
    own = _rewarded(evidence, stage)
    if own is None:
        return None
    known = own[own["shared_tokens"].notna()].groupby(["example_id", "step"])
    found = {
        key: rank_correlation(group[["change"]].to_numpy().T, group[["shared_tokens"]].to_numpy().T)[0]
        for key, group in known
        if len(group) >= ALIKE
    }
    by_prompt = pd.Series(found, dtype=float).dropna()
    return by_prompt.groupby(level=0).mean() if len(by_prompt) else None


# R2 to R4: answers sampled to the probe questions


def pass_table(passes: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns pass@1 and pass@8 of each row; NaN where fewer were sampled."""
    return passes.assign(**{f"pass@{k}": pass_at(k, passes["samples"], passes["correct"]) for k in (1, K)})


def _sampled(evidence: Evidence, stage: StageInfo, column: str, split: str = SPLIT) -> pd.DataFrame | None:
    """Questions × probe steps (ascending) of ``column`` over ``stage``; None below two steps."""
    table = evidence.table("passes")
    if table is None:
        return None
    own = pass_table(table[(table["stage"] == stage.name) & (table["split"] == split)])
    values = own.pivot_table(index="example_id", columns="step", values=column).sort_index(axis=1)
    return values if values.shape[1] > 1 else None


def _change(column: str, split: str = SPLIT) -> OfStage:
    def change(evidence: Evidence, stage: StageInfo) -> pd.Series | None:
        values = _sampled(evidence, stage, column, split)
        return None if values is None else values.iloc[:, -1] - values.iloc[:, 0]

    return change


def _apart(column: str) -> Measure:
    """At the end, with negative samples alone minus with positive ones alone: both arms have the same start."""

    def end(evidence: Evidence, stage: StageInfo) -> pd.Series | None:
        values = _sampled(evidence, stage, column)
        return None if values is None else values.iloc[:, -1]

    return _minus(end, "positive", "negative")


def _along_chosen(column: str) -> OfStage:
    """The change of ``column`` along y⁺."""

    def change(evidence: Evidence, stage: StageInfo) -> pd.Series | None:
        curve = evidence.curve(stage, "chosen", column)
        return None if curve is None else curve.change

    return change


# R5: off-policy DPO from the same start


def _off_policy(evidence: Evidence) -> Sequence[StageInfo]:
    """Its rounds; none without GRPO beside it."""
    starts = [stage.start for stage in _stages("")(evidence)]
    arms = (arm for arm in arms_of(evidence.stages) if arm.first.start in starts and not arm.first.sampled)
    return next((arm.rounds for arm in arms), ())


def _courses(evidence: Evidence) -> tuple[Course, Course] | None:
    """Of off-policy DPO and of GRPO."""
    arms = [_off_policy(evidence), _stages("")(evidence)]
    sampled = [[_sampled(evidence, stage, "pass@1") for stage in rounds] for rounds in arms]
    found = [course_of(evidence, rounds, own) for rounds, own in zip(arms, sampled, strict=True) if rounds]
    return (found[0], found[1]) if len(found) == 2 and found[0] and found[1] else None


def _of_courses(compare: Callable[[Course, Course], pd.Series]) -> Measure:
    def measured(evidence: Evidence) -> pd.Series | None:
        courses = _courses(evidence)
        return compare(*courses) if courses else None

    return measured


def _at_equal_reward(dpo: Course, grpo: Course) -> pd.Series:
    reward = equal_reward(dpo, grpo)
    return dpo.squeeze.iloc[-1] * float("nan") if reward is None else dpo.at(reward) - grpo.at(reward)


def _at_end(dpo: Course, grpo: Course) -> pd.Series:
    return dpo.squeeze.iloc[-1] - grpo.squeeze.iloc[-1]


def _reward_at_end(dpo: Course, grpo: Course) -> pd.Series:
    return grpo.rewards.iloc[-1] - dpo.rewards.iloc[-1]


def _no_equal_gain(evidence: Evidence) -> str:
    courses = _courses(evidence)
    if courses is None or equal_reward(*courses) is not None:
        return ""
    dpo, grpo = (course.reward.max() - course.reward.iloc[0] for course in courses)
    return f"DPO and GRPO gain at most {dpo:.3f} and {grpo:.3f} of pass@1, and {GAIN:g} is the least that is compared"


_LAZY, _FALLS = _share_below(LAZY), _share_below(0.0)
_PASS = f"pass@{K}"

CLAIMS = (
    Claim(
        "R1",
        "GRPO displaces lazily: right answers often fall, or hardly rise, in the update that rewards them",
        "arXiv 2505.18830: many fall or hardly rise, where wrong answers share their tokens; not without negative "
        "advantages, and less with NTHR",
        (
            Part("share of rewarded answers that fall or hardly rise", "above", _in_arm(_LAZY), bound=0.25, **SHARE),
            secondary("share of them that fall", "above", _in_arm(_FALLS), bound=0.1, **SHARE),
            secondary(
                "rank correlation of their change with the share of tokens that wrong siblings have too",
                "below",
                _in_arm(_follows_sharing),
                unit="rank correlation",
                smallest=0.1,
            ),
            secondary("the first minus that with positive samples alone", "above", _minus(_LAZY, "positive"), **SHARE),
            secondary("the first minus that with NTHR", "above", _minus(_LAZY, "nthr"), **SHARE),
        ),
        _stages(""),
        note="Hardly: by less than a tenth of the mean absolute change of the stage's rewarded answers, per token",
    ),
    Claim(
        "R2",
        "GRPO sharpens: the greedy mass log π(y*) rises and the entropy of sampled answers falls",
        "arXiv 2510.14807: the mass gathers on the most likely tokens",
        (
            Part("change of log π(y*) along y⁺", "above", _in_arm(_along_chosen("logp_argmax"))),
            Part("change of the entropy of sampled answers", "below", _in_arm(_change("entropy")), **ENTROPY),
            secondary("change of the entropy along y⁺", "below", _in_arm(_along_chosen("entropy")), **ENTROPY),
        ),
        _stages(""),
    ),
    Claim(
        "R3",
        "GRPO trades breadth for precision: pass@1 rises while pass@8 falls",
        "arXiv 2504.13837, 2510.14807: pass@1 rises, pass@k at large k falls below the start",
        (
            Part("change of pass@1", "above", _in_arm(_change("pass@1")), **SHARE),
            Part("change of pass@8", "below", _in_arm(_change(_PASS)), **SHARE),
            secondary("change of pass@1 on unseen questions", "above", _in_arm(_change("pass@1", "test")), **SHARE),
            secondary("change of pass@8 on unseen questions", "below", _in_arm(_change(_PASS, "test")), **SHARE),
        ),
        _stages(""),
    ),
    Claim(
        "R4",
        "Negative samples alone keep entropy and pass@8, which positive samples alone spend",
        "arXiv 2506.01347: negative samples alone improve pass@k at every k, positive ones pass@1 only",
        (
            Part("entropy at the end, negative minus positive", "above", _apart("entropy"), **ENTROPY),
            Part("pass@8 at the end, negative minus positive", "above", _apart(_PASS), **SHARE),
            secondary("change of the entropy, positive", "below", _in_arm(_change("entropy"), "positive"), **ENTROPY),
            secondary("change of pass@8, positive", "below", _in_arm(_change(_PASS), "positive"), **SHARE),
            secondary("change of pass@8, negative", "above", _in_arm(_change(_PASS), "negative"), **SHARE),
            secondary("change of pass@1, negative", "above", _in_arm(_change("pass@1"), "negative"), **SHARE),
        ),
        _stages("positive", "negative"),
    ),
    Claim(
        "R5",
        "Off-policy DPO squeezes more than GRPO at equal gain of reward",
        "arXiv 2407.10490, 2509.19554: what squeezes is to push down what the policy would not write",
        (
            Part("squeeze of DPO minus that of GRPO at equal pass@1", "above", _of_courses(_at_equal_reward)),
            secondary(
                "the same at the end", "above", _of_courses(lambda a, b: a.squeeze.iloc[-1] - b.squeeze.iloc[-1])
            ),
            secondary("pass@1 of GRPO minus that of DPO at the end", "above", _of_courses(_reward_at_end), **SHARE),
        ),
        lambda evidence: [*_off_policy(evidence), *_stages("")(evidence)],
        note="Squeeze: the change of log π(y*) along y⁺ minus that of y⁺. Equal: the highest pass@1 that both reach at "
        "a probe step; each is read where it first reaches it, linear between probe steps. A seed in which it is less "
        f"than {GAIN:g} above the start is named and not used",
        unusable=_no_equal_gain,
    ),
)
