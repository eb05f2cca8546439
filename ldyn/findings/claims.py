"""The claims of the paper that a run can test, and the findings made of them.

A verdict is about this run: its model, its data, its seed. The interval speaks of other probe examples, not of other
seeds; for those, repeat the run and see ``over_seeds``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ldyn.findings.claims_arms import more_sft_squeezes_more, on_policy_squeezes_less
from ldyn.findings.claims_extend import extension_raises_rejected, extension_squeezes_less
from ldyn.findings.claims_images import influence_is_where_classes_look_alike
from ldyn.findings.claims_kernel import (
    ches_foretells,
    entanglement_foretells,
    first_order_predicts,
    fixed_features_explain,
    kernel_order_is_stable,
)
from ldyn.findings.claims_preference import (
    everything_falls,
    greedy_mass_rises,
    greedy_mass_rises_faster,
    rejected_falls_fastest,
)
from ldyn.findings.claims_sft import (
    chosen_rises,
    other_answers_rise,
    random_words_fall,
    rejected_is_a_bell,
    rephrases_are_bells,
    unseen_answers_fall,
)
from ldyn.findings.claims_toy import (
    greedy_always_rises,
    peakier_is_stronger,
    rejected_always_falls,
    rich_get_richer,
    unlikelier_is_stronger,
)
from ldyn.findings.claims_wins import extended_answers_win
from ldyn.findings.curves import Evidence
from ldyn.findings.measurement import Measurement, verdict_and_reason
from ldyn.records import Finding, StageInfo


@dataclass(frozen=True)
class Claim:
    """One claim: its words, what the number shown for it is, what the paper has, and the function that measures it.

    ``measure`` answers None where the run lacks the stages or probes; its docstring states statistic and rule.
    """

    text: str
    number: str
    paper: str
    measure: Callable[[Evidence], Measurement | None]


CLAIMS: dict[str, Claim] = {
    "S1": Claim(
        "SFT: the chosen answer y⁺ rises throughout",
        "nats, change of y⁺",
        "Fig. 3: rises; Pythia-410M −152.0 → −92.4, Qwen1.5-1.8B −122.8 → −56.4",
        chosen_rises,
    ),
    "S2": Claim(
        "SFT: the rephrase of y⁺ rises at first, then falls (a bell)",
        "nats, rise to the peak",
        "Fig. 3: a bell",
        rephrases_are_bells,
    ),
    "S3": Claim(
        "SFT: the rejected answer y⁻ rises at first, then falls (a bell)",
        "nats, rise to the peak",
        "Fig. 3: a bell; Qwen1.5-1.8B −97.2 → −87 → −105.2",
        rejected_is_a_bell,
    ),
    "S4": Claim(
        "SFT: the answer to another training question keeps rising (hallucination)",
        "nats, change of y⁺ of another question",
        "Fig. 3: keeps rising; Qwen1.5-1.8B −163.4 → −143.3",
        other_answers_rise,
    ),
    "S5": Claim(
        "SFT: answers to unseen questions and human sentences are pushed down",
        "nats, change of y_test",
        "Fig. 3: pushed down, y_test after a brief rise; Qwen1.5-1.8B y_test −136.8 → −155.7, y_hum −129.0 → −161.5",
        unseen_answers_fall,
    ),
    "S6": Claim(
        "SFT: shuffled and random words fall",
        "nats, change of shuffled y⁺",
        "Fig. 3: fall",
        random_words_fall,
    ),
    "D1": Claim(
        "DPO: in the long run every observed response falls, y⁺ too",
        "nats, change of the one that falls least",
        "Fig. 4: all fall; y⁺ Pythia-410M −152.0 → −156.2, Qwen1.5-1.8B −54.4 → −113.3",
        everything_falls,
    ),
    "D2": Claim(
        "DPO: y⁻ falls fastest, what resembles y⁻ next",
        "nats, change of y⁻ less its nearest rival's",
        "Fig. 4: y⁻ fastest; Qwen1.5-1.8B y⁻ −106.5 → −325.3 while y⁺ −54.4 → −113.3",
        rejected_falls_fastest,
    ),
    "D3": Claim(
        "DPO squeezes: the greedy mass log π(y*) rises while y⁺ and y⁻ fall",
        "nats, change of log π(y*)",
        "Fig. 4: rises; log π(y*) Pythia-410M −61.6 → −41.2, Qwen1.5-1.8B −30.0 → −15.4",
        greedy_mass_rises,
    ),
    "D3b": Claim(
        "DPO raises the greedy mass faster than SFT raised y⁺",
        "nats per 1000 examples, the difference",
        "Fig. 4, from −113 to −63: by a metric that a bug overwrote. The corrected logs do not show it: log π(y*) "
        "rises by 20.4 and 14.6 in DPO where y⁺ had risen by 59.6 and 66.4 in SFT (Pythia-410M, Qwen1.5-1.8B)",
        greedy_mass_rises_faster,
    ),
    "D4": Claim(
        "More SFT before DPO makes the squeezing worse",
        "nats, change of y⁺ after short SFT less that after long SFT",
        "Appendix: worse",
        more_sft_squeezes_more,
    ),
    "E1": Claim(
        "Extend: SFT on y⁺ and y⁻ raises y⁻ before DPO",
        "nats, y⁻ before DPO less the baseline's",
        "Fig. 5: raised",
        extension_raises_rejected,
    ),
    "E2": Claim(
        "Extend: DPO then squeezes less: y⁺ and its like fall less, y* rises less",
        "nats, largest change less the extended arm's",
        "Fig. 5: squeezes less",
        extension_squeezes_less,
    ),
    "E3": Claim(
        "Extend: … and the answers win more often",
        "win rate, ties are half a win",
        "Table 1 (Qwen1.5-1.8B, HH), after 0, 2, 4, 6 epochs of DPO: by ChatGPT .47, .65, .69, .67; by Claude 3 .47, "
        ".52, .60, .54, of which two (.47, .52) are within the noise of about 500 answers (standard error .022)",
        extended_answers_win,
    ),
    "O1": Claim(
        "On-policy preference data squeezes less than off-policy",
        "nats, change of y⁺ on-policy less that off-policy",
        "Sec. 4: less",
        on_policy_squeezes_less,
    ),
    "T1": Claim(
        "Softmax: pushing y⁻ down lowers p(y⁻), always",
        "nats, change of log p(y⁻) where it falls least",
        "Fig. 2, App. E: always",
        rejected_always_falls,
    ),
    "T2": Claim(
        "Softmax: pushing y⁻ down raises the most likely other label y*, always",
        "nats, change of log p(y*) where it rises least",
        "Fig. 2, App. E: always",
        greedy_always_rises,
    ),
    "T3": Claim(
        "Softmax: the rich get richer: likely labels tend to rise, unlikely ones to fall",
        "rank correlation of p with its change",
        "Fig. 2, App. E: a tendency, where p is not uniform",
        rich_get_richer,
    ),
    "T4": Claim(
        "Softmax: the peakier p, the stronger: y* takes all mass, everything else falls (y⁻ in a valley)",
        "nats, change of other labels in the peaky start",
        "Fig. 2, App. E: stronger",
        peakier_is_stronger,
    ),
    "T5": Claim(
        "Softmax: the less likely y⁻ already is, the stronger; a larger step amplifies it",
        "nats, change of other labels, valley less peak",
        "Fig. 2, App. E: stronger, and worst in a valley",
        unlikelier_is_stronger,
    ),
    "M1": Claim(
        "Digits: learning one class raises it on images of classes that look alike (4 and 9), as A K G predicts",
        "rank correlation of influence with likeness",
        "Fig. 1: the influence matrix is concentrated where classes look alike",
        influence_is_where_classes_look_alike,
    ),
    "K1": Claim(
        "The order of the kernel's norms between response types is stable, after a messy start",
        "Kendall's τ between moments of a stage",
        "App. C: relatively stable, judged by the proxies LBK and SignDelta",
        kernel_order_is_stable,
    ),
    "K2": Claim(
        "The first-order prediction A·K·G, with the optimizer's actual update, gives the actual change",
        "share of the squared change",
        "not measured; reviewers asked",
        first_order_predicts,
    ),
    "K3": Claim(
        "A fixed feature map explains most of the change: the unembedding's share is over half",
        "share of the change",
        "assumed; a reviewer named it as untested",
        fixed_features_explain,
    ),
    "K4": Claim(
        "Gradient entanglement before training tells which y⁺ will fall",
        "rank correlation with the fall of y⁺",
        "not in the paper; arXiv 2410.13828",
        entanglement_foretells,
    ),
    "K5": Claim(
        "CHES before training tells which y⁺ will fall",
        "rank correlation with the fall of y⁺",
        "not in the paper; arXiv 2410.08847",
        ches_foretells,
    ),
}


def find_all(
    trajectories: pd.DataFrame,
    stages: Sequence[StageInfo],
    planned_steps: Mapping[str, int] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> list[Finding]:
    """Test every claim for which the run has the stages and the probes, in the order of CLAIMS.

    ``trajectories`` has the columns of records.TRAJECTORY_COLUMNS. ``planned_steps`` (stage -> updates it was meant to
    make) leaves a claim open whose stage was interrupted; a stage without an entry counts as complete.
    ``tables``: what the run has besides, see ``Run.tables``.
    """
    evidence = Evidence(trajectories, stages, planned_steps or {}, tables or {})
    measured = {name: claim.measure(evidence) for name, claim in CLAIMS.items()}
    return [_finding(name, evidence, measurement) for name, measurement in measured.items() if measurement]


def _finding(name: str, evidence: Evidence, measurement: Measurement) -> Finding:
    shortfalls = [words for words in map(evidence.shortfall, measurement.stages) if words]
    verdict, reason = verdict_and_reason(measurement, shortfalls)
    shown = measurement.parts[0].interval
    claim = CLAIMS[name]
    return Finding(
        id=name,
        claim=claim.text,
        estimate=shown.estimate,
        ci_low=shown.low,
        ci_high=shown.high,
        unit=claim.number,
        n=shown.n,
        seeds=measurement.seeds,
        verdict=verdict,
        reason=reason,
        paper=claim.paper,
    )
