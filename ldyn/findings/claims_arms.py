"""D4, E1 to E3 and O1: claims that compare the arms of one experiment, told apart by what their stages train on.

Rounds of one arm, each from the weights of the round before, count as one long stage. With several extended arms the
verdict is that of the arm closest to the baseline in number of updates, as in the paper (which saw y⁺ half as often in
it). The others, for instance one with the same exposure to y⁺, are controls: where one says the contrary, the claim is
inconclusive. All rules were fixed before any result was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from ldyn.findings.claim import Measurement, claim
from ldyn.findings.curves import Curve, Evidence
from ldyn.findings.intervals import MIN_EXAMPLES
from ldyn.findings.parts import Part, highest_part, mean_part
from ldyn.findings.stages import PreferenceArm, arms_of, extended_stages, preference_stage_after, supervised_stage
from ldyn.records import HOLDS, StageInfo

CHOSEN_LIKE = ("chosen", "chosen_gptsemantic", "chosen_gptformat")
PAPER_EPOCHS = 6.0
"""Table 1 ends there."""
EVEN = 0.5

# (evidence, SFT of the baseline, SFT of an extended arm) -> the claim measured between them
CompareArms = Callable[[Evidence, StageInfo, StageInfo], Measurement | None]


@claim(
    "D4",
    "More SFT before DPO makes the squeezing worse",
    "nats, change of y⁺ after short SFT minus that after long SFT",
    "Appendix: worse",
)
def more_sft_squeezes_more(evidence: Evidence) -> Measurement | None:
    """D4: more SFT before DPO makes the squeezing worse.

    Arms: the SFT stages on y⁺ from the base that differ in their number of updates, each with its preference stage.
    Statistic, of the preference stages after the shortest and after the longest SFT: (1) the mean change of log π(y⁺)
    after the short one minus that after the long one; (2) the same of the greedy mass along y⁺.
    Rule: holds if (1) is above zero (y⁺ falls more after more SFT) and (2) below (the greedy mass rises more); fails if
    either lies on the other side.
    """
    by_start = {arm.first.start: arm for arm in reversed(arms_of(evidence.stages))}
    begun = [s for s in evidence.stages if _is_first_sft(s) and s.name in by_start and evidence.has_begun(s)]
    squeezes = {evidence.intended_updates(sft): _arm_change(evidence, by_start[sft.name]) for sft in begun}
    found = {updates: one for updates, one in squeezes.items() if one is not None}
    if len(found) < 2:
        return None
    short, long = found[min(found)], found[max(found)]
    note = "; ".join(f"after {updates} updates of SFT: {found[updates].course}" for updates in sorted(found))
    return Measurement(_less_squeezed(short, long), (*short.arm.rounds, *long.arm.rounds), note)


@claim(
    "E1", "Extend: SFT on y⁺ and y⁻ raises y⁻ before DPO", "nats, y⁻ before DPO minus the baseline's", "Fig. 5: raised"
)
def extension_raises_rejected(evidence: Evidence) -> Measurement | None:
    """E1: SFT on chosen and rejected raises y⁻ before DPO.

    Statistic: (1) the mean of log π(y⁻) at the end of the extended SFT minus that at the end of the baseline's SFT;
    (2) the mean change of log π(y⁻) over the extended SFT.
    Rule: holds if both are above zero, fails if either is below.
    """
    return over_extended_arms(evidence, _rejected_level)


@claim(
    "E2",
    "Extend: DPO then squeezes less: y⁺ and its like fall less, y* rises less",
    "nats, largest change minus the extended arm's",
    "Fig. 5: squeezes less",
)
def extension_squeezes_less(evidence: Evidence) -> Measurement | None:
    """E2: DPO after the extended SFT squeezes less: y⁺ and its like fall less, and y* rises less.

    Statistic: (1) the highest, over y⁺, its rephrase and its form, of the mean of the change in the baseline's DPO
    minus the change in the extended arm's; (2) the mean of the change of the greedy mass along y⁺ in the extended
    arm's DPO minus that in the baseline's.
    Rule: holds if both are below zero, fails if either is above. Inconclusive where the baseline itself does not
    clearly squeeze, that is where a fall of its y⁺ or a rise of its greedy mass is not established.
    """
    return over_extended_arms(evidence, _squeezing)


@claim(
    "E3",
    "Extend: … and the answers win more often",
    "win rate, ties are half a win",
    "Table 1 (Qwen1.5-1.8B, HH), after 0, 2, 4, 6 epochs of DPO: by ChatGPT .47, .65, .69, .67; by Claude 3 .47, "
    ".52, .60, .54, of which two (.47, .52) are within the noise of about 500 answers (standard error .022)",
)
def extended_answers_win(evidence: Evidence) -> Measurement | None:
    """E3: after DPO, the answers of the extended arm win against the baseline's more often than they lose.

    Comparisons: 1 for a win of the extended arm, 0 for a loss, 1/2 for a tie (among them those in which the two orders
    disagree), by the run's first judge. Questions: the unseen ones (split "test"); where there are none, the training
    questions.
    Statistic: (1) each question's mean over all judged probe steps after DPO's start and up to 6 epochs, where the
    paper's table ends; (2) the outcome at the end of DPO. Each as a mean over questions, with its interval over them.
    Rule: holds if both are above 1/2, fails if either is below. Inconclusive where fewer than 8 questions are decided
    (not tied throughout) in a part, as no interval of so few can be trusted.
    The note counts wins, ties and losses at each probe step, also on training questions, and adds the other judges.
    """
    return over_extended_arms(evidence, _win_rates)


@claim(
    "O1",
    "On-policy preference data squeezes less than off-policy",
    "nats, change of y⁺ on-policy minus that off-policy",
    "Sec. 4: less",
)
def on_policy_squeezes_less(evidence: Evidence) -> Measurement | None:
    """O1: preference training on the policy's own answers squeezes less than on the data's.

    Arms: pairwise stages from one SFT, with one algorithm and as many rounds; both responses of the data (off-policy)
    against both drawn from the policy at the start of each round (on-policy).
    Statistic, over all rounds: (1) the mean change of log π(y⁺) on-policy minus that off-policy; (2) the mean change of
    the greedy mass along y⁺ on-policy minus that off-policy. Both arms are observed on the data's y⁺.
    Rule: holds if (1) is above zero and (2) below; fails if either lies on the other side. The note adds the arm
    with y⁺ of the data and y⁻ drawn (SPIN).
    """
    off, on, spin = (
        next((one for one in _arm_changes(evidence) if one.arm.first.sampled == sampled), None)
        for sampled in ((), ("chosen", "rejected"), ("rejected",))
    )
    if off is None or on is None:
        return None
    note = "; ".join(one.course for one in (off, on, spin) if one)
    unequal = len(off.arm.rounds) != len(on.arm.rounds)
    left_open = ["the arms differ in their number of rounds"] if unequal else []
    return Measurement(_less_squeezed(on, off), (*off.arm.rounds, *on.arm.rounds), note, left_open=left_open)


def over_extended_arms(evidence: Evidence, compare: CompareArms) -> Measurement | None:
    """The measurement between the baseline and the extended arm most alike in updates, the other arms as controls."""
    baseline = supervised_stage(evidence)
    extended = extended_stages(evidence, baseline) if baseline else []
    if baseline is None or not extended:
        return None
    main, *others = (compare(evidence, baseline, arm) for arm in extended)
    if main is None:  # no other arm stands in for it
        return None
    named = [(arm.name, other) for arm, other in zip(extended[1:], others, strict=True) if other is not None]
    controls = {name: other for name, other in named if not any(map(evidence.shortfall, other.stages))}
    return Measurement(main.parts, main.stages, main.note, controls, main.left_open)


def _rejected_level(evidence: Evidence, baseline: StageInfo, extended: StageInfo) -> Measurement | None:
    base, extend = evidence.curve(baseline, "rejected"), evidence.curve(extended, "rejected")
    if base is None or extend is None:
        return None
    higher = extend.last - base.last
    level = f"rejected at the end of {extended.name} minus that at the end of {baseline.name}"
    parts = [
        mean_part(level, "above", higher),
        mean_part(f"change of rejected over {extended.name}", "above", extend.change),
    ]
    note = f"rejected goes {base.course} in {baseline.name}, {extend.course} in {extended.name}"
    return Measurement(parts, (baseline, extended), note)


@dataclass(frozen=True)
class _Squeeze:
    """What a preference stage did to y⁺ and its like, and to the greedy mass along y⁺."""

    stage: StageInfo
    chosen_like: dict[str, Curve]
    greedy: Curve

    @property
    def changes(self) -> pd.DataFrame:
        return pd.DataFrame({probe: curve.change for probe, curve in self.chosen_like.items()})

    @property
    def course(self) -> str:
        chosen, greedy = self.chosen_like["chosen"].course, self.greedy.course
        return f"in {self.stage.name} chosen goes {chosen}, the greedy mass {greedy}"


def _squeezing(evidence: Evidence, baseline: StageInfo, extended: StageInfo) -> Measurement | None:
    base, extend = _squeeze_after(evidence, baseline), _squeeze_after(evidence, extended)
    if base is None or extend is None:
        return None
    probes = [probe for probe in base.chosen_like if probe in extend.chosen_like]
    worse = (base.changes - extend.changes)[probes]
    between = f"in {base.stage.name} minus that in {extend.stage.name}"
    greedy = extend.greedy.change - base.greedy.change
    greedy_between = f"in {extend.stage.name} minus that in {base.stage.name}"
    parts = [
        highest_part(f"change of chosen or its like {between}", "below", worse),
        mean_part(f"change of the greedy mass {greedy_between}", "below", greedy),
    ]
    stages = (baseline, extended, base.stage, extend.stage)
    return Measurement(parts, stages, f"{base.course}; {extend.course}", {}, _nothing_to_lessen(base))


def _squeeze_after(evidence: Evidence, start: StageInfo) -> _Squeeze | None:
    stage = preference_stage_after(evidence, start)
    greedy = evidence.curve(stage, "chosen", "logp_argmax") if stage else None
    if stage is None or greedy is None:
        return None
    curves = {probe: evidence.curve(stage, probe) for probe in CHOSEN_LIKE}
    return _Squeeze(stage, {probe: curve for probe, curve in curves.items() if curve is not None}, greedy)


def _nothing_to_lessen(base: _Squeeze) -> tuple[str, ...]:
    falls = mean_part(f"change of chosen in {base.stage.name}", "below", base.chosen_like["chosen"].change)
    rises = mean_part(f"change of the greedy mass in {base.stage.name}", "above", base.greedy.change)
    lacking = [part for part in (falls, rises) if part.verdict != HOLDS]
    return tuple(f"the baseline does not clearly squeeze ({part})" for part in lacking)


def _win_rates(evidence: Evidence, baseline: StageInfo, extended: StageInfo) -> Measurement | None:
    table = evidence.table("wins")
    base, extend = preference_stage_after(evidence, baseline), preference_stage_after(evidence, extended)
    if table is None or base is None or extend is None:
        return None
    own = table[(table["arm"] == extend.name) & (table["baseline"] == base.name)]
    judges = list(dict.fromkeys(table["judge"]))
    judged = own[(own["judge"] == judges[0]) & own["won"].notna()]
    splits = set(judged["split"])
    if not splits:
        return None
    split = "test" if "test" in splits else "train"
    asked = judged[judged["split"] == split]
    between = f"win rate of {extend.name} over {base.name}"
    periods = [(words, frame) for words, frame in _periods(asked) if len(frame)]
    parts = [_part(f"{between} on {split} questions {words}", frame) for words, frame in periods]
    if not parts:
        return None
    notes = [_counts(judged[judged["split"] == one], one) for one in ("test", "train") if one in splits]
    notes += [_by_another(own[own["judge"] == judge], judge, split) for judge in judges[1:]]
    note = f"won–tied–lost by {judges[0]}: {'; '.join(notes)}"
    return Measurement(parts, (baseline, extended, base, extend), note, left_open=_too_few_decided(periods))


def _periods(asked: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The two parts of the claim in words, with the judged behind them."""
    within = asked[(asked["epoch"] > 0) & (asked["epoch"] <= PAPER_EPOCHS)]
    end = asked["epoch"].max()
    epochs = ", ".join(f"{epoch:g}" for epoch in sorted(within["epoch"].unique()))
    last = asked[(asked["epoch"] == end) & (asked["epoch"] > 0)]
    return [(f"after {epochs} epochs, their mean", within), (f"at the end, after {end:.3g} epochs", last)]


def _part(quantity: str, judged: pd.DataFrame) -> Part:
    of_questions = judged.groupby("example_id")["won"].mean()
    return mean_part(quantity, "above", of_questions, unit="", bound=EVEN)


def _too_few_decided(periods: Sequence[tuple[str, pd.DataFrame]]) -> list[str]:
    """Of each part in which nearly all questions tie throughout, how many do not."""
    few = []
    for words, judged in periods:
        decided = judged[judged["won"] != EVEN]["example_id"].nunique()
        if decided < MIN_EXAMPLES:
            asked = judged["example_id"].nunique()
            few.append(f"{words} only {decided} of {asked} questions are decided, at least {MIN_EXAMPLES} are needed")
    return few


def _counts(judged: pd.DataFrame, split: str) -> str:
    """Of every moment how many judged were won, tied and lost."""
    by_epoch = judged.groupby("epoch")["won"]
    counts = ["–".join(str(int((won == value).sum())) for value in (1.0, EVEN, 0.0)) for _, won in by_epoch]
    epochs = [f"{epoch:.3g}" for epoch in by_epoch.groups]
    return f"{', '.join(counts)} on {split} questions after {', '.join(epochs)} epochs"


def _by_another(judged: pd.DataFrame, judge: str, split: str) -> str:
    asked = judged[(judged["split"] == split) & judged["won"].notna()]
    rates = asked.groupby("epoch")["won"].mean()
    words = ", ".join(f"{rate:.3f} after {epoch:.3g}" for epoch, rate in rates.items())
    return f"by {judge} the win rate on {split} questions is {words} epochs"


@dataclass(frozen=True)
class _ArmChange:
    """Changes of y⁺ and of the greedy mass along it over an arm, one value for each example."""

    arm: PreferenceArm
    chosen: pd.Series
    greedy: pd.Series

    @property
    def course(self) -> str:
        chosen, greedy = self.chosen.mean(), self.greedy.mean()
        return f"in {self.arm.name} chosen {chosen:+.3g}, the greedy mass {greedy:+.3g} nats"


def _less_squeezed(less: _ArmChange, more: _ArmChange) -> list[Part]:
    """The two parts of "squeezed less in ``less`` than in ``more``"."""
    between = f"over {less.arm.name} minus that over {more.arm.name}"
    return [
        mean_part(f"change of chosen {between}", "above", less.chosen - more.chosen),
        mean_part(f"change of the greedy mass {between}", "below", less.greedy - more.greedy),
    ]


def _arm_changes(evidence: Evidence) -> list[_ArmChange]:
    """Of every arm that starts where the first one does, in the order of the experiment."""
    arms = arms_of(evidence.stages)
    found = [_arm_change(evidence, arm) for arm in arms if arm.first.start == arms[0].first.start]
    return [one for one in found if one is not None]


def _arm_change(evidence: Evidence, arm: PreferenceArm) -> _ArmChange | None:
    chosen, greedy = (_change(evidence, arm, column) for column in ("logp", "logp_argmax"))
    return None if chosen is None or greedy is None else _ArmChange(arm, chosen, greedy)


def _change(evidence: Evidence, arm: PreferenceArm, column: str) -> pd.Series | None:
    """From before the first update of the first round to after the last of the last, along y⁺."""
    first, last = (evidence.curve(stage, "chosen", column) for stage in (arm.first, arm.last))
    return None if first is None or last is None else last.last - first.first


def _is_first_sft(stage: StageInfo) -> bool:
    return stage.kind == "pointwise" and stage.view == ("chosen",) and stage.start == "base"
