"""What the arms of an experiment were fed before preference training, in words that tell controls apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ldyn.findings.arms import arms_of
from ldyn.records import StageInfo
from ldyn.report.chains import view_words

Entry = Mapping[str, Any]


def dosage_words(arm: str, baseline: str, stages: Sequence[StageInfo], entries: Sequence[Entry]) -> str:
    """What ``arm`` starts from, and in what that is matched to what ``baseline`` starts from.

    entries: the stages as the manifest has them. Empty where both start from the same weights, or from the base.
    """
    starts = {one.name: one.first.start for one in arms_of(stages)}
    by_name = {stage.name: (stage, entry) for stage, entry in zip(stages, entries, strict=True)}
    if starts[arm] == starts[baseline] or not {starts[arm], starts[baseline]} <= set(by_name):
        return ""
    (stage, own), (other_stage, other) = by_name[starts[arm]], by_name[starts[baseline]]
    words = f"after {stage.name}: {own['steps']} updates on {view_words(stage)}"
    if own["steps"] == other["steps"]:
        return f"{words}, as many as {other_stage.name} makes"
    if own["steps"] / len(stage.view) == other["steps"] / len(other_stage.view):
        return f"{words}, y⁺ seen as often as in {other_stage.name}"
    return words
