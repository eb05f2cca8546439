"""From runs to one table: which experiment speaks, the correction, and the verdict with its reason."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ldyn.errors import RunDirectoryError
from ldyn.findings import CLAIMS
from ldyn.findings.claim import Measurement
from ldyn.findings.over_seeds import adjusted_p_values, findings_over_seeds
from ldyn.findings.seed_runs import by_setting
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, FindingOverSeeds
from ldyn.store import Run
from ldyn.store.directory import plain
from ldyn.theory.settings import ToyConfig
from ldyn.theory.toy import toy_table

WORDS = ("random_permute", "random_nonhum")
MakeRun = Callable[..., Run]


@pytest.fixture
def make(build: Any, four_stages: Any) -> MakeRun:
    """A run whose shuffled words (S6: two parts, claimed below zero) change by the numbers given."""
    sft = four_stages[0]

    def run(seed: int, *changes: float, planned: int | None = None, **settings: object) -> Run:
        rows = build(stages=(sft,), spread=0.05 + seed / 1000)
        for probe, change in zip(WORDS, changes, strict=True):
            rows.add(sft, probe, [-50.0, -50.0 + change])
        stages = [{"name": "sft", "steps": planned}]
        manifest = {"name": "exp", "seed": seed, "stages": stages}
        config = json.dumps({"name": "exp", "seed": seed, "run": str(seed), "paths": {"run": str(seed)}, **settings})
        nothing = pd.DataFrame()
        return Run(Path(f"run{seed}"), manifest, config, (sft,), rows.table, nothing, {}, [], [])

    return run


def the_finding(runs: Sequence[Run]) -> FindingOverSeeds:
    (finding,) = findings_over_seeds({"exp": runs})
    return finding


def test_all_parts_must_hold_so_the_larger_p_counts(make: MakeRun) -> None:
    """−1, −2, −3: t = −3.4641, p 0.037090; −4, −5, −6: t = −8.6603, p 0.006536. Two-sided 2 · 0.037090."""
    found = the_finding([make(0, -1, -4), make(1, -2, -5), make(2, -3, -6)])
    assert (found.id, found.source, found.seeds, found.held, found.failed, found.open) == ("S6", "exp", 3, 3, 0, 0)
    assert found.estimate == pytest.approx(-2.0)
    assert (found.ci_low, found.ci_high) == pytest.approx((-4.48414, 0.48414), abs=1e-5)
    assert (found.p_value, found.p_adjusted) == pytest.approx((0.074180, 0.074180), abs=1e-6)
    assert found.verdict == INCONCLUSIVE  # though it held in each of three seeds
    assert found.reason.startswith(
        "1 of 2 parts is undecided: change of random_permute over sft: -2 [-4.48, +0.484] nats"
    )


def test_it_holds(make: MakeRun) -> None:
    """−4, −5, −6 and −9, −10, −11: the first part's p, 0.006536, is the larger."""
    found = the_finding([make(0, -4, -9), make(1, -5, -10), make(2, -6, -11)])
    assert (found.verdict, found.p_value) == (HOLDS, pytest.approx(0.013072, abs=1e-6))
    assert "p = 0.013, corrected for 1 claims 0.013" in found.reason


def test_one_part_on_the_other_side_fails_it_but_there_were_two_to_choose_from(make: MakeRun) -> None:
    """The first holds; the second rises by 4, 5, 6: 2 (sides) · 2 (parts) · 0.006536."""
    found = the_finding([make(0, -4, 4), make(1, -5, 5), make(2, -6, 6)])
    assert (found.verdict, found.p_value) == (FAILS, pytest.approx(0.026144, abs=1e-6))
    assert found.estimate == pytest.approx(-5.0)  # the first part's, as in a run


def test_what_stopped_early_is_not_averaged(make: MakeRun) -> None:
    short = make(3, -400, -900, planned=500)
    found = the_finding([make(0, -4, -9), make(1, -5, -10), make(2, -6, -11), short])
    assert (found.seeds, found.held, found.open, found.verdict) == (3, 3, 1, HOLDS)
    assert "Seed 3 is not used: stage sft stopped at step 10 of 500" in found.reason


def test_two_seeds_are_no_verdict(make: MakeRun) -> None:
    found = the_finding([make(0, -4, -9), make(1, -5, -10)])
    assert (found.verdict, found.seeds, found.held) == (INCONCLUSIVE, 2, 2)
    assert math.isnan(found.p_value)
    assert math.isnan(found.ci_low)
    assert found.estimate == pytest.approx(-4.5)
    assert found.reason.startswith(
        "Inconclusive because only 2 usable seeds, at least 3 are needed. Seed 0 alone -4, holds"
    )
    written = json.loads(json.dumps(plain([found]), allow_nan=False))[0]
    assert (written["p_value"], written["ci_low"], written["source"]) == (None, None, "exp")


def test_benjamini_and_hochberg_by_hand() -> None:
    """p₍ᵢ₎ · m / i with m = 4: 0.04, 0.06, 0.04, 0.5; then the least of it and all that follow. NaN is no member."""
    found = {"a": 0.5, "b": 0.03, "c": 0.01, "d": 0.03, "e": math.nan}
    adjusted = adjusted_p_values(found)
    assert [adjusted[name] for name in "abcd"] == pytest.approx([0.5, 0.04, 0.04, 0.04])
    assert math.isnan(adjusted["e"])
    assert adjusted_p_values({}) == {}


def test_claims_of_all_experiments_are_one_family(make: MakeRun) -> None:
    runs = [make(0, -4, -9), make(1, -5, -10), make(2, -6, -11)]
    manifest = {"name": "toy", "seed": 0, "stages": []}
    table = toy_table(ToyConfig(labels=(20,), starts=4, step_sizes=(0.2, 1.0), steps=2), seeds=(0, 1, 2))
    nothing = runs[0].trajectories[:0]
    study = replace(runs[0], manifest=manifest, stages=(), tables={"toy": table}, trajectories=nothing)
    found = {one.id: one for one in findings_over_seeds({"exp": runs, "toy": [study]})}
    assert list(found) == ["S6", "T1", "T2", "T3", "T4", "T5"]
    assert (found["T1"].source, found["T1"].held, found["T1"].seeds, found["T1"].verdict) == ("toy", None, 3, HOLDS)
    assert "corrected for 6 claims" in found["S6"].reason
    by_p = sorted(found.values(), key=lambda one: one.p_value)
    times = [one.p_value * 6 / rank for rank, one in enumerate(by_p, start=1)]
    assert [one.p_adjusted for one in by_p] == pytest.approx([min(times[rank:]) for rank in range(6)])


def test_a_claim_that_is_left_open_makes_the_correction_stricter(make: MakeRun, monkeypatch: Any) -> None:
    """Two claims with the same p, 0.013: one of them cannot be decided, so the other is the first of two: 2 · 0.013."""
    s6 = CLAIMS["S6"]

    def left_open(evidence: Any) -> Measurement:
        return replace(s6.measure(evidence), left_open=("so it is",))

    monkeypatch.setitem(CLAIMS, "X1", replace(s6, measure=left_open))
    found = {one.id: one for one in findings_over_seeds({"exp": [make(0, -4, -9), make(1, -5, -10), make(2, -6, -11)]})}
    assert (found["S6"].verdict, found["S6"].p_adjusted) == (HOLDS, pytest.approx(2 * 0.013072, abs=1e-6))
    assert (found["X1"].verdict, found["X1"].p_adjusted) == (INCONCLUSIVE, 1.0)
    assert "Inconclusive because 3 of 3 seeds alone are inconclusive: seed 0 because so it is" in found["X1"].reason


def test_the_first_experiment_that_measures_a_claim_speaks_for_it(make: MakeRun) -> None:
    holding = [make(0, -4, -9), make(1, -5, -10), make(2, -6, -11)]
    failing = [make(0, 4, 9), make(1, 5, 10), make(2, 6, 11)]
    (first,) = findings_over_seeds({"one": holding, "two": failing})
    (second,) = findings_over_seeds({"none": [], "two": failing, "one": holding})
    assert (first.source, first.verdict, second.source, second.verdict) == ("one", HOLDS, "two", FAILS)


def test_runs_that_differ_in_more_than_their_seed_are_refused(make: MakeRun) -> None:
    runs = [make(0, -4, -9, beta=0.1), make(1, -5, -10, beta=0.5)]
    with pytest.raises(RunDirectoryError, match=r"run0 and run1 differ in beta \(0.1, 0.5\)"):
        findings_over_seeds({"exp": runs})
    assert {name: len(group) for name, group in by_setting(runs).items()} == {"beta=0.1": 1, "beta=0.5": 1}
    assert list(by_setting([make(0, -4, -9), make(1, -5, -10)])) == [""]


def test_one_seed_twice_and_copies_are_refused(make: MakeRun) -> None:
    run = make(0, -4, -9)
    with pytest.raises(RunDirectoryError, match="run0 and run0 both have seed 0"):
        findings_over_seeds({"exp": [run, run]})
    copy = replace(run, path=Path("copy"), manifest={**run.manifest, "seed": 1})
    with pytest.raises(RunDirectoryError, match="run0 and copy measured the same numbers"):
        findings_over_seeds({"exp": [run, copy]})
