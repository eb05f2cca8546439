"""Means and changes by hand."""

from __future__ import annotations

import math

from ldyn.records import ProbeScore, ProbeStep
from ldyn.tracking.means import Charts, probe_means


def score(split: str, example: str, probe: str, logp: float) -> ProbeScore:
    return ProbeScore(split, example, probe, 3, logp, -1.0, -2.0, 0.5, 0.5, 2.0, 0.5, 0.25, 1.0)


def test_means_are_over_the_examples_that_have_the_probe() -> None:
    scores = [
        score("train", "a", "rejected", -4),
        score("train", "a", "chosen", -1),
        score("train", "b", "chosen", -3),
        score("test", "c", "chosen", -10),
    ]
    assert probe_means(scores, "logp") == {("test", "chosen"): -10, ("train", "chosen"): -2, ("train", "rejected"): -4}


def test_examples_that_could_not_be_measured_are_ignored() -> None:
    scores = [score("train", "a", "chosen", -1), score("train", "b", "chosen", math.nan)]
    assert probe_means(scores, "logp") == {("train", "chosen"): -1}
    assert math.isnan(probe_means(scores[1:], "logp")["train", "chosen"])


def test_changes_are_since_the_start_of_each_stage_and_split() -> None:
    charts = Charts()
    for stage, step, train, test in (("sft", 0, -5, -6), ("sft", 4, -3, -7), ("dpo", 0, -3, -7)):
        scores = [score("train", "a", "chosen", train), score("test", "b", "chosen", test)]
        values = charts.points(ProbeStep(stage, "dpo", step, 0, 0.0), scores)
        start = {"sft": (-5, -6), "dpo": (-3, -7)}[stage]
        assert values[f"{stage}/logp_change/chosen"] == train - start[0]
        assert values[f"{stage}/logp_change_test/chosen"] == test - start[1]
