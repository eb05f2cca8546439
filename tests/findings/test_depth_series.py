"""D5: the squeeze at several depths of y⁻, within each seed, from runs that differ in nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ldyn.errors import RunDirectoryError
from ldyn.findings import depth_findings, findings_over_seeds
from ldyn.findings.claims_depth import means_by_depth
from ldyn.findings.sources import DEPTHS
from ldyn.findings.together import judge_together
from ldyn.records import HOLDS
from ldyn.store import Run

RANKS = ([1, 4], [5, 15], [16, 40])
SQUEEZES = {0: (2, 3, 12), 1: (3, 8, 14), 2: (4, 4, 16)}
"""Nats, of each seed at each of RANKS: deepest minus shallowest 10, 11, 12."""
MakeRun = Callable[..., Run]


@pytest.fixture
def make(build: Any, run_of: Any, four_stages: Any) -> MakeRun:
    """A run whose DPO raises the greedy mass by 1 nat and lowers y⁺ by the rest of ``squeeze``."""
    dpo = four_stages[1]

    def run(seed: int, place: int, squeeze: float, planned: int | None = None, **settings: object) -> Run:
        rows = build(stages=(dpo,), examples=10, spread=0.1 + seed / 100 + place / 1000)
        rows.add(dpo, "chosen", [-50.0, -49.0 - squeeze], logp_argmax=[-30.0, -29.0])
        dataset = {"rejected_ranks": RANKS[place]}
        planned_steps = {"dpo": planned} if planned else {}
        made = run_of(seed, rows.table, (dpo,), planned=planned_steps, dataset=dataset, **settings)
        return replace(made, path=Path(f"{DEPTHS[place]}-{seed}"), manifest={**made.manifest, "name": DEPTHS[place]})

    return run


@pytest.fixture
def runs(make: MakeRun) -> list[Run]:
    return [make(seed, place, one) for seed, own in SQUEEZES.items() for place, one in enumerate(own)]


def test_it_is_the_deepest_minus_the_shallowest_within_each_seed(runs: list[Run]) -> None:
    """10, 11, 12: mean 11 ± 4.30265 / √3. The steps: 1, 5, 0 and 9, 6, 12."""
    (found,) = depth_findings(runs)
    assert (found.id, found.verdict, found.seeds, found.source) == ("D5", HOLDS, 3, "depth series")
    assert (found.estimate, found.ci_low) == pytest.approx((11, 11 - 2.48414), abs=1e-5)
    steps = {part.name: part.estimate for part in found.parts if not part.primary}
    assert steps == pytest.approx(
        {"squeeze at ranks 5–15 minus ranks 1–4": 2, "squeeze at ranks 16–40 minus ranks 5–15": 9}
    )
    assert means_by_depth(runs)["squeeze"].loc["seed 1"].tolist() == pytest.approx([3, 8, 14])
    assert means_by_depth(runs)["greedy"].to_numpy().ravel().tolist() == pytest.approx([1] * 9)


def test_a_seed_that_lacks_a_depth_or_stopped_early_is_named_and_not_used(runs: list[Run], make: MakeRun) -> None:
    short = [make(4, place, 50 + place, planned=500) for place in range(3)]
    (found,) = depth_findings([*runs, make(3, 0, 5.5), *short])
    assert (found.seeds, found.estimate) == (3, pytest.approx(11))
    assert "seed 3 is not used: it lacks a depth" in found.reason.lower()
    assert "stage ranks 1–4 stopped at step 10 of 500" in found.reason


def test_a_page_judges_it_from_all_three_parts_or_not_at_all(runs: list[Run]) -> None:
    groups = {name: runs[place::3] for place, name in enumerate(DEPTHS)}
    assert [one.id for one in findings_over_seeds(groups)] == ["D5"]  # a single depth is a look-alike of dpo_squeeze
    assert not findings_over_seeds({**groups, DEPTHS[2]: []})
    together = judge_together(Path("tiny"), runs)
    assert [(one.setting, len(one.runs), one.findings[0].id) for one in together] == [("depth series", 9, "D5")]


def test_a_sweep_over_depths_is_judged_at_each_depth_and_together(runs: list[Run]) -> None:
    sweep = [replace(run, path=Path(str(n)), manifest={**run.manifest, "name": "exp"}) for n, run in enumerate(runs)]
    *each, together = judge_together(Path("sweep"), sweep)
    assert [one.setting for one in each] == [f"dataset.rejected_ranks={ranks}" for ranks in RANKS]
    assert (together.setting, [one.id for one in together.findings]) == ("depth series", ["D5"])


def test_runs_that_differ_in_more_than_the_depth_are_refused(runs: list[Run], make: MakeRun) -> None:
    others = [make(seed, 2, 20 + seed, beta=0.5) for seed in range(3)]
    with pytest.raises(RunDirectoryError, match=r"differ in dataset.rejected_ranks alone. Found: beta, dataset"):
        depth_findings([*(run for run in runs if "16_40" not in run.path.name), *others])
    assert not depth_findings(runs[:1])
