"""From the runs of several seeds to a verdict: what is averaged, the fixed correction, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldyn.errors import RunDirectoryError
from ldyn.findings import findings_over_seeds
from ldyn.findings.seed_runs import by_setting
from ldyn.findings.tables import finding_row
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, FindingOverSeeds
from ldyn.store import Run
from ldyn.store.directory import plain
from ldyn.theory.settings import ToyConfig
from ldyn.theory.toy import toy_table

WORDS = ("random_permute", "random_nonhum")
MakeRun = Callable[..., Run]


@pytest.fixture
def make(build: Any, run_of: Any, four_stages: Any) -> MakeRun:
    """A run whose shuffled words (S6: two primary parts, claimed below zero) change by the numbers given."""
    sft = four_stages[0]

    def run(seed: int, *changes: float, planned: int | None = None, **settings: object) -> Run:
        rows = build(stages=(sft,), spread=0.05 + seed / 1000)
        for probe, change in zip(WORDS, changes, strict=True):
            rows.add(sft, probe, [-50.0, -50.0 + change])
        return run_of(seed, rows.table, (sft,), planned={"sft": planned} if planned else {}, **settings)

    return run


def the_finding(runs: Sequence[Run]) -> FindingOverSeeds:
    (finding,) = findings_over_seeds({"exp": runs})
    return finding


def test_all_primary_parts_must_hold_so_the_larger_p_counts(make: MakeRun) -> None:
    """−1, −2, −3: t = −3.4641, p 0.037090; −4, −5, −6: t = −8.6603, p 0.006536. Six claims in the family of SFT."""
    found = the_finding([make(0, -1, -4), make(1, -2, -5), make(2, -3, -6)])
    assert (found.id, found.source, found.seeds, found.n, found.agreeing) == ("S6", "exp", 3, 3, 3)
    assert found.estimate == pytest.approx(-2.0)
    assert (found.ci_low, found.ci_high) == pytest.approx((-4.48414, 0.48414), abs=1e-5)
    assert found.p_value == pytest.approx(0.037090, abs=1e-6)
    assert found.p_adjusted == pytest.approx(6 * 0.037090, abs=1e-5)
    assert found.verdict == INCONCLUSIVE
    assert finding_row(found)["alone"] == "3 of 3 as claimed"
    # the weaker part needs more seeds than three: its mean is twice its spread
    assert 3 < found.seeds_needed < 10


def test_it_holds_at_the_level_of_its_family(make: MakeRun) -> None:
    """Half-widths at 1/120 one-sided with 2 degrees of freedom: 7.65 / √3 spreads."""
    assert the_finding([make(0, -4.5, -9.5), make(1, -5, -10), make(2, -5.5, -10.5)]).verdict == HOLDS
    assert the_finding([make(0, -3.7, -9), make(1, -5, -10), make(2, -6.3, -11)]).verdict == INCONCLUSIVE


def test_a_part_that_is_contrary_beyond_the_smallest_effect_fails_it(make: MakeRun) -> None:
    assert the_finding([make(0, -5.1, 4.9), make(1, -5, 5), make(2, -4.9, 5.1)]).verdict == FAILS
    slight = the_finding([make(0, -5.1, 0.49), make(1, -5, 0.5), make(2, -4.9, 0.51)])
    assert [part.verdict for part in slight.parts] == [HOLDS, "no effect found"]
    assert slight.verdict == "no effect found"


def test_what_stopped_early_is_not_averaged(make: MakeRun) -> None:
    short = make(3, -400, -900, planned=500)
    found = the_finding([make(0, -4.5, -9.5), make(1, -5, -10), make(2, -5.5, -10.5), short])
    assert (found.seeds, found.verdict) == (3, HOLDS)
    assert "Seed 3 is not used: stage sft stopped at step 10 of 500" in found.reason


def test_two_seeds_are_no_verdict(make: MakeRun) -> None:
    found = the_finding([make(0, -4.99, -9), make(1, -5, -9.01)])
    assert (found.verdict, found.seeds) == (INCONCLUSIVE, 2)
    assert "Only 2 usable seeds, at least 3 are needed" in found.reason
    one = the_finding([make(0, -4, -9)])
    written = json.loads(json.dumps(plain([one]), allow_nan=False))[0]
    assert (written["p_value"], written["ci_low"], written["parts"][0]["estimate"]) == (None, None, pytest.approx(-4))


def test_a_verdict_does_not_depend_on_what_else_ran(make: MakeRun) -> None:
    runs = [make(0, -4.5, -9.5), make(1, -5, -10), make(2, -5.5, -10.5)]
    table = toy_table(ToyConfig(labels=(20,), starts=4, step_sizes=(0.2, 1.0), steps=2), seeds=(0, 1, 2))
    study = replace(runs[0], manifest={"name": "toy", "seed": 0, "stages": []}, stages=(), tables={"toy": table})
    study = replace(study, trajectories=runs[0].trajectories[:0])
    found = {one.id: one for one in findings_over_seeds({"exp": runs, "toy": [study]})}
    assert list(found) == ["S6", "T1", "T2", "T3", "T4", "T5"]
    assert found["S6"] == the_finding(runs)
    assert (found["T1"].source, found["T1"].seeds, found["T1"].n, found["T2"].verdict) == ("toy", 3, 12, HOLDS)
    assert np.isnan(found["T1"].seeds_needed)
    with pytest.raises(RunDirectoryError, match="expected 1, as a study has its own seeds"):
        findings_over_seeds({"toy": [study, replace(study, manifest={"name": "toy", "seed": 5, "stages": []})]})


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


def test_the_first_experiment_that_measures_a_claim_speaks_for_it(make: MakeRun) -> None:
    holding = [make(0, -4.9, -9.9), make(1, -5, -10), make(2, -5.1, -10.1)]
    failing = [make(0, 4.9, 9.9), make(1, 5, 10), make(2, 5.1, 10.1)]
    (first,) = findings_over_seeds({"one": holding, "two": failing})
    (second,) = findings_over_seeds({"none": [], "two": failing, "one": holding})
    assert (first.source, first.verdict, second.source, second.verdict) == ("one", HOLDS, "two", FAILS)
