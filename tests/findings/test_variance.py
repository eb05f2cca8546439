"""Variance between worlds and within a world: by hand, and as verify and the results page get it from runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import f

from ldyn.findings.tables import VARIANCE_HEAD, variance_rows
from ldyn.findings.variance import components, variance_components


def test_a_balanced_example_by_hand() -> None:
    """Worlds (1, 3) and (7, 9): means 2 and 8, MSW = (2 + 2) / 2 = 2, MSB = 2 · (9 + 9) = 36, n₀ = 2.

    σ²_within = 2, σ²_between = (36 − 2) / 2 = 17; F = 18 with 1 and 2 degrees of freedom.
    """
    between, within, (low, high) = components([np.array([1.0, 3.0]), np.array([7.0, 9.0])])
    assert (between**2, within**2) == pytest.approx((17, 2))
    ratio = (18 / f.ppf(0.025, 1, 2) - 1) / 2
    assert (low, high) == pytest.approx((0.0, ratio / (1 + ratio)))


def test_unequal_sizes_by_hand() -> None:
    """One world with 0, 2, 4 and two worlds with one run each, 8 and 14.

    MSW = 8 / 2 = 4. N = 5, mean 5.6: MSB = (3 · 3.6² + 2.4² + 8.4²) / 2 = 57.6. n₀ = (5 − 11 / 5) / 2 = 1.4.
    """
    between, within, _ = components([np.array([0.0, 2.0, 4.0]), np.array([8.0]), np.array([14.0])])
    assert (between**2, within**2) == pytest.approx(((57.6 - 4) / 1.4, 4))
    assert components([np.array([0.0, 10.0]), np.array([5.0])])[0] == 0  # less than within a world: counted as none


def test_simulated_components_are_found() -> None:
    random = np.random.default_rng(0)
    worlds = [random.normal(3 * random.normal(), 2, size=4) for _ in range(400)]
    between, within, (low, high) = components(worlds)
    assert (between, within) == pytest.approx((3, 2), rel=0.06)
    assert low < 9 / 13 < high


def test_runs_of_one_world_are_told_by_its_seed(build: Any, run_of: Any, four_stages: Any) -> None:
    """Seeds 0, 1, 2 with worlds of their own; seeds 5, 6 in the world of seed 0: y⁺ rises by 10, 12, 14 there."""
    sft = four_stages[0]

    def run(seed: int, change: float, world_seed: int | None = None, **settings: object) -> Any:
        rows = build(stages=(sft,), examples=10, spread=0.1 + seed / 100)
        rows.add(sft, "chosen", [-50.0, -50.0 + change])
        dataset = {"source": "microworld", "world_seed": world_seed}
        made = run_of(seed, rows.table, (sft,), dataset=dataset, **settings)
        return replace(made, path=Path(str(seed)))

    own = [run(0, 10), run(1, 18), run(2, 24)]
    nested = [run(5, 12, 0), run(6, 14, 0)]
    again = run(0, 10, 0)  # seed 0 in the world of seed 0
    [found] = variance_components([*own, run(0, 99, part="another"), *nested, again])
    assert (found.quantity, found.claims, found.worlds, found.runs) == ("SFT: change of y⁺", ("S1",), 3, 5)
    assert (found.mean, found.between**2, found.within**2) == pytest.approx((15.6, (57.6 - 4) / 1.4, 4))
    [row] = variance_rows([found])
    assert len(row) == len(VARIANCE_HEAD)
    assert row[:5] == ["SFT: change of y⁺", "S1", "+15.6", "6.19", "2.00"]
    assert row[5].startswith("91% [")
    assert variance_components(own) == variance_components(nested) == []
