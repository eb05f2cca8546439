"""D4, E1 to E3 and O1: claims that compare the arms of one experiment, distinguished by what their stages train on.

The *squeeze* of an arm is the change of the greedy mass along y⁺ minus the change of y⁺ over its preference rounds:
how many nats the greedy continuation gains on the response that is trained. With several extended arms the claim is
about the one closest to the baseline in number of updates, as in the paper (which saw y⁺ half as often in it); the
others, for instance one with the same exposure to y⁺, are secondary parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from ldyn.findings.claim import Claim, Measure, Part, secondary
from ldyn.findings.evidence import Evidence
from ldyn.findings.stages import PreferenceArm, arms_of, extended_stages, preference_stage_after, supervised_stage
from ldyn.records import StageInfo

PAPER_EPOCHS = 6.0
"""Table 1 ends there."""

Pair = tuple[PreferenceArm, PreferenceArm]
Change = Callable[[Evidence, PreferenceArm], pd.Series | None]


def change_of(probe: str, column: str = "logp") -> Change:
    """From before the first update of the arm's first round to after the last of its last."""

    def change(evidence: Evidence, arm: PreferenceArm) -> pd.Series | None:
        first, last = (evidence.curve(stage, probe, column) for stage in (arm.first, arm.last))
        return None if first is None or last is None else last.last - first.first

    return change


_chosen, _greedy = change_of("chosen"), change_of("chosen", "logp_argmax")


def squeeze(evidence: Evidence, arm: PreferenceArm) -> pd.Series | None:
    """Change of the greedy mass along y⁺ minus the change of y⁺ over the arm, of each example; nats."""
    chosen, greedy = _chosen(evidence, arm), _greedy(evidence, arm)
    return None if chosen is None or greedy is None else greedy - chosen


def _between(arms: Callable[[Evidence], Pair | None], change: Change) -> Measure:

    def measure(evidence: Evidence) -> pd.Series | None:
        changes = [change(evidence, arm) for arm in arms(evidence) or ()]
        return None if len(changes) < 2 or changes[0] is None or changes[1] is None else changes[0] - changes[1]

    return measure


def _more_squeezed(first: str, second: str, arms: Callable[[Evidence], Pair | None]) -> tuple[Part, ...]:
    between = f"{first} minus {second}"
    return (
        Part(f"squeeze (change of log π(y*) minus that of y⁺) {between}", "above", _between(arms, squeeze)),
        secondary(f"change of y⁺ {between}", "below", _between(arms, _chosen)),
        secondary(f"change of log π(y*) {between}", "above", _between(arms, _greedy)),
    )


def _stages_of(arms: Callable[[Evidence], Pair | None]) -> Callable[[Evidence], Sequence[StageInfo]]:
    return lambda evidence: [stage for arm in arms(evidence) or () for stage in arm.rounds]


# D4: SFT on y⁺ from the base in several lengths, each with its preference stage


def _long_and_short(evidence: Evidence) -> Pair | None:
    by_start = {arm.first.start: arm for arm in reversed(arms_of(evidence.stages))}
    sft = [s for s in evidence.stages if s.kind == "pointwise" and s.view == ("chosen",) and s.start == "base"]
    begun = {
        evidence.intended_updates(s): by_start[s.name] for s in sft if s.name in by_start and evidence.has_begun(s)
    }
    return (begun[max(begun)], begun[min(begun)]) if len(begun) > 1 else None


# O1: pairwise arms from one SFT with as many rounds: the data's pairs, or both responses drawn from the policy


def _arm_that_samples(evidence: Evidence, *sampled: str) -> PreferenceArm | None:
    arms = arms_of(evidence.stages)
    return next((a for a in arms if a.first.start == arms[0].first.start and a.first.sampled == sampled), None)


def _off_and_on_policy(evidence: Evidence) -> Pair | None:
    off, on = _arm_that_samples(evidence), _arm_that_samples(evidence, "chosen", "rejected")
    return (off, on) if off and on and len(off.rounds) == len(on.rounds) else None


def _off_policy_and_spin(evidence: Evidence) -> Pair | None:
    off, spin = _arm_that_samples(evidence), _arm_that_samples(evidence, "rejected")
    return (off, spin) if off and spin and len(off.rounds) == len(spin.rounds) else None


# E1 to E3: SFT on both responses beside the baseline's SFT


def _extended(evidence: Evidence) -> tuple[StageInfo | None, list[StageInfo]]:
    """The SFT of the baseline, and the extended ones, the closest in updates first."""
    baseline = supervised_stage(evidence)
    return baseline, extended_stages(evidence, baseline) if baseline else []


CompareSft = Callable[[Evidence, StageInfo, StageInfo], pd.Series | None]


def _main_arm(compare: CompareSft) -> Measure:
    def measure(evidence: Evidence) -> pd.Series | None:
        baseline, extended = _extended(evidence)
        return compare(evidence, baseline, extended[0]) if baseline and extended else None

    return measure


def _other_arms(compare: CompareSft) -> Measure:
    def measure(evidence: Evidence) -> Mapping[str, pd.Series]:
        baseline, extended = _extended(evidence)
        found = {one.name: compare(evidence, baseline, one) for one in extended[1:]} if baseline else {}
        return {name: values for name, values in found.items() if values is not None}

    return measure


def _rejected_level(evidence: Evidence, baseline: StageInfo, extended: StageInfo) -> pd.Series | None:
    base, extend = evidence.curve(baseline, "rejected"), evidence.curve(extended, "rejected")
    return None if base is None or extend is None else extend.last - base.last


def _rejected_change(evidence: Evidence, _: StageInfo, extended: StageInfo) -> pd.Series | None:
    curve = evidence.curve(extended, "rejected")
    return None if curve is None else curve.change


def _in_baseline(change: Change) -> CompareSft:
    def compare(evidence: Evidence, baseline: StageInfo, _: StageInfo) -> pd.Series | None:
        stage = preference_stage_after(evidence, baseline)
        return change(evidence, PreferenceArm((stage,))) if stage else None

    return compare


def _less(change: Change) -> CompareSft:
    """``change`` in the baseline's DPO minus that in the extended arm's."""

    def compare(evidence: Evidence, baseline: StageInfo, extended: StageInfo) -> pd.Series | None:
        stages = [preference_stage_after(evidence, start) for start in (baseline, extended)]
        changes = [change(evidence, PreferenceArm((stage,))) for stage in stages if stage]
        return None if len(changes) < 2 or changes[0] is None or changes[1] is None else changes[0] - changes[1]

    return compare


def _wins(evidence: Evidence, baseline: StageInfo, extended: StageInfo) -> pd.DataFrame:
    """Comparisons of the two arms after DPO's start, on unseen questions; on training ones where none was asked."""
    table = evidence.table("wins")
    base, extend = (preference_stage_after(evidence, start) for start in (baseline, extended))
    if table is None or base is None or extend is None:
        return pd.DataFrame()
    own = table[(table["arm"] == extend.name) & (table["baseline"] == base.name) & table["won"].notna()]
    split = "test" if (own["split"] == "test").any() else "train"
    return own[(own["split"] == split) & (own["epoch"] > 0)]


def _rate(wins: pd.DataFrame) -> pd.Series | None:
    """Of each question: the mean of 1 for a win, 0 for a loss, ½ for a tie, up to 6 epochs."""
    within = wins[wins["epoch"] <= PAPER_EPOCHS] if len(wins) else wins
    return _by_question(within) if len(within) else None


def _by_question(wins: pd.DataFrame) -> pd.Series:
    means: pd.Series = wins.groupby("example_id")["won"].mean()
    return means


def _win_rate(evidence: Evidence, baseline: StageInfo, extended: StageInfo) -> pd.Series | None:
    wins = _wins(evidence, baseline, extended)
    return _rate(wins[wins["judge"] == wins["judge"].iloc[0]]) if len(wins) else None


def _win_rate_at_end(evidence: Evidence, baseline: StageInfo, extended: StageInfo) -> pd.Series | None:
    wins = _wins(evidence, baseline, extended)
    if wins.empty:
        return None
    last = wins[(wins["judge"] == wins["judge"].iloc[0]) & (wins["epoch"] == wins["epoch"].max())]
    return _by_question(last)


def _by_other_judges(evidence: Evidence) -> Mapping[str, pd.Series]:
    baseline, extended = _extended(evidence)
    wins = _wins(evidence, baseline, extended[0]) if baseline and extended else pd.DataFrame()
    by_judge = dict(list(wins.groupby("judge", sort=False))[1:]) if len(wins) else {}
    return {str(judge): rate for judge, own in by_judge.items() if (rate := _rate(own)) is not None}


def _extend_stages(evidence: Evidence) -> Sequence[StageInfo]:
    baseline, extended = _extended(evidence)
    starts = [baseline, extended[0]] if baseline and extended else []
    return [*starts, *filter(None, (preference_stage_after(evidence, start) for start in starts))]


def _sft_stages(evidence: Evidence) -> Sequence[StageInfo]:
    return [stage for stage in _extend_stages(evidence) if stage.kind == "pointwise"]


_OTHERS = "each other extended arm"
_WINS = {"unit": "win rate, ties are half a win", "bound": 0.5, "smallest": 0.05}

CLAIMS = (
    Claim(
        "D4",
        "More SFT before DPO makes the squeezing worse",
        "Appendix: worse",
        _more_squeezed("after the longest SFT", "after the shortest", _long_and_short),
        _stages_of(_long_and_short),
    ),
    Claim(
        "E1",
        "Extend: SFT on y⁺ and y⁻ raises y⁻ before DPO",
        "Fig. 5: raised",
        (
            Part("y⁻ before DPO minus the baseline's", "above", _main_arm(_rejected_level)),
            secondary("change of y⁻ over the extended SFT", "above", _main_arm(_rejected_change)),
            secondary("y⁻ before DPO minus the baseline's, in", "above", _other_arms(_rejected_level), each=_OTHERS),
        ),
        _sft_stages,
    ),
    Claim(
        "E2",
        "Extend: DPO then squeezes less: y⁺ and its like fall less, y* rises less",
        "Fig. 5: squeezes less",
        (
            Part(
                "squeeze (change of log π(y*) minus that of y⁺) of the baseline minus the extended arm's",
                "above",
                _main_arm(_less(squeeze)),
            ),
            secondary("squeeze of the baseline", "above", _main_arm(_in_baseline(squeeze))),
            secondary("change of log π(y*), baseline minus extended", "above", _main_arm(_less(_greedy))),
            *(
                secondary(f"change of {name}, baseline minus extended", "below", _main_arm(_less(change_of(probe))))
                for probe, name in (
                    ("chosen", "y⁺"),
                    ("chosen_gptsemantic", "its rephrase"),
                    ("chosen_gptformat", "its form"),
                )
            ),
            secondary("squeeze of the baseline minus that of", "above", _other_arms(_less(squeeze)), each=_OTHERS),
        ),
        _extend_stages,
    ),
    Claim(
        "E3",
        "Extend: … and the answers win more often",
        "Table 1 (Qwen1.5-1.8B, HH), after 0, 2, 4, 6 epochs of DPO: by ChatGPT .47, .65, .69, .67; by Claude 3 .47, "
        ".52, .60, .54, of which two (.47, .52) are within the noise of about 500 answers (standard error .022)",
        (
            Part("wins of the extended arm up to 6 epochs of DPO", "above", _main_arm(_win_rate), **_WINS),  # type: ignore[arg-type]
            secondary("wins at the end of DPO", "above", _main_arm(_win_rate_at_end), **_WINS),
            secondary("wins by", "above", _by_other_judges, each="each other judge", **_WINS),
            secondary("wins of", "above", _other_arms(_win_rate), each=_OTHERS, **_WINS),
        ),
        _extend_stages,
    ),
    Claim(
        "O1",
        "On-policy preference data squeezes less than off-policy",
        "Sec. 4: less",
        (
            *_more_squeezed("off-policy", "on-policy", _off_and_on_policy),
            secondary("squeeze off-policy minus with own y⁻ (SPIN)", "above", _between(_off_policy_and_spin, squeeze)),
        ),
        _stages_of(_off_and_on_policy),
    ),
)
