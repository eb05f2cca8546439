"""Claims about a run of batch means (`ldyn import-logs` of a trainer's log): none is judged, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ldyn.findings.claim import Claim
from ldyn.records import NOT_JUDGED, Finding, StageInfo

_OTHER_PAIRS = "means over other pairs at every step, each scored before the update on it"
_REASONS: Mapping[str, Mapping[str, str]] = {
    "pointwise": {
        "S1": f"log π(y⁺) of fixed examples is not logged; the loss is one of {_OTHER_PAIRS}",
        "S2": "the rephrase of y⁺ is not scored by a trainer",
        "S3": "y⁻ is not scored by an SFT trainer",
        "S4": "answers to other questions are not scored by a trainer",
        "S5": "answers to unseen questions and human sentences are not scored by a trainer",
        "S6": "shuffled words are not scored by a trainer",
    },
    "pairwise": {
        "D1": f"y⁺ and y⁻ are logged as {_OTHER_PAIRS}; other fluent responses are not logged",
        "D2": f"y⁺ and y⁻ are logged as {_OTHER_PAIRS}: a change mixes what was learned with which pairs are drawn",
        "D3": "log π(y*), the greedy mass, is not logged: squeezing cannot be seen in a trainer's log",
        "D3b": "log π(y*) is not logged, nor log π(y⁺) of fixed examples in SFT",
    },
}


def not_judged(claims: Mapping[str, Claim], stages: Iterable[StageInfo]) -> list[Finding]:
    """One finding for each claim about a stage of this kind, without numbers, in the order of ``claims``."""
    kinds = {stage.kind for stage in stages}
    reasons = {name: why for kind, of_kind in _REASONS.items() if kind in kinds for name, why in of_kind.items()}
    return [_finding(claim, reasons[name]) for name, claim in claims.items() if name in reasons]


def _finding(claim: Claim, why: str) -> Finding:
    nothing = math.nan
    return Finding(
        claim.id, claim.text, nothing, nothing, nothing, "", 0, 1, NOT_JUDGED, f"Not judged: {why}.", claim.paper
    )
