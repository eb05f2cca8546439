"""E1 and E2: SFT on chosen *and* rejected before DPO, against SFT on chosen alone (paper, Fig. 5).

The arms are told apart by what their stages were trained on. With several extended arms, the verdict is that of the
one most alike to the baseline in number of updates, as in the paper (which saw y⁺ half as often in it); the others,
for instance one matched in exposure to y⁺, are controls: where a control says the contrary, the verdict is left open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from ldyn.findings.curves import Curve, Evidence, extended_stages, preference_stage_after, supervised_stage
from ldyn.findings.measurement import Measurement
from ldyn.findings.parts import highest_part, mean_part
from ldyn.records import HOLDS, StageInfo

CHOSEN_LIKE = ("chosen", "chosen_gptsemantic", "chosen_gptformat")

# (evidence, SFT of the baseline, SFT of an extended arm) -> the claim measured between them
CompareArms = Callable[[Evidence, StageInfo, StageInfo], Measurement | None]


def extension_raises_rejected(evidence: Evidence) -> Measurement | None:
    """E1: SFT on chosen and rejected raises y⁻ before DPO.

    Statistic: (1) the mean of log π(y⁻) at the end of the extended SFT minus that at the end of the baseline's SFT;
    (2) the mean change of log π(y⁻) over the extended SFT.
    Rule: holds if both are above zero, fails if either is below.
    """
    return over_extended_arms(evidence, _rejected_level)


def extension_squeezes_less(evidence: Evidence) -> Measurement | None:
    """E2: DPO after the extended SFT squeezes less: y⁺ and its like fall less, and y* rises less.

    Statistic: (1) the highest, over y⁺, its rephrase and its form, of the mean of the change in the baseline's DPO
    minus the change in the extended arm's; (2) the mean of the change of the greedy mass along y⁺ in the extended
    arm's DPO minus that in the baseline's.
    Rule: holds if both are below zero, fails if either is above. Left open where the baseline itself does not squeeze,
    that is where a fall of its y⁺ or a rise of its greedy mass is not established: there is then nothing to lessen.
    """
    return over_extended_arms(evidence, _squeezing)


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
    level = f"rejected at the end of {extended.name} less at the end of {baseline.name}"
    parts = [
        mean_part(level, "above", higher, higher / extend.tokens),
        mean_part(f"change of rejected over {extended.name}", "above", extend.change, extend.change_per_token),
    ]
    note = f"rejected goes {base.course} in {baseline.name}, {extend.course} in {extended.name}"
    return Measurement(parts, (baseline, extended), note)


@dataclass(frozen=True)
class _Squeeze:
    """What a preference stage did to y⁺ and its like, and to the greedy mass along y⁺."""

    stage: StageInfo
    chosen_like: dict[str, Curve]
    greedy: Curve

    def changes(self, *, per_token: bool = False) -> pd.DataFrame:
        curves = self.chosen_like.items()
        return pd.DataFrame({probe: curve.change_per_token if per_token else curve.change for probe, curve in curves})

    @property
    def course(self) -> str:
        chosen, greedy = self.chosen_like["chosen"].course, self.greedy.course
        return f"in {self.stage.name} chosen goes {chosen}, the greedy mass {greedy}"


def _squeezing(evidence: Evidence, baseline: StageInfo, extended: StageInfo) -> Measurement | None:
    base, extend = _squeeze_after(evidence, baseline), _squeeze_after(evidence, extended)
    if base is None or extend is None:
        return None
    probes = [probe for probe in base.chosen_like if probe in extend.chosen_like]
    worse = (base.changes() - extend.changes())[probes]
    worse_per_token = (base.changes(per_token=True) - extend.changes(per_token=True))[probes]
    between = f"in {base.stage.name} less in {extend.stage.name}"
    greedy = extend.greedy.change - base.greedy.change
    greedy_between = f"in {extend.stage.name} less in {base.stage.name}"
    parts = [
        highest_part(f"change of chosen or its like {between}", "below", worse, worse_per_token),
        mean_part(f"change of the greedy mass {greedy_between}", "below", greedy, greedy / extend.greedy.tokens),
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
    return tuple(f"the baseline does not squeeze beyond doubt ({part})" for part in lacking)
