"""Claim M1 on influence matrices made by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from ldyn.findings import find_all
from ldyn.findings.claims_studies import influence_is_where_classes_look_alike
from ldyn.findings.curves import Evidence
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, TRAJECTORY_COLUMNS, Finding

NONE = pd.DataFrame(columns=list(TRAJECTORY_COLUMNS))


def influence(seeds: int = 3, sign: float = 1.0, predicted: float = 1.0, alike: float = 5.0) -> pd.DataFrame:
    """Likeness of classes a and b: 1 / (1 + |a − b|), 2 for 4 and 9; influence grows with it, but for 4 and 9."""
    random = np.random.default_rng(0)
    rows = []
    for seed, a, b, label in product(range(seeds), range(10), range(10), range(10)):
        pair = {a, b} == {4, 9}
        likeness = 2.0 if pair else 1 / (1 + abs(a - b))
        change = (alike if pair else sign * likeness) + 0.01 * random.normal()
        rows.append(
            {
                "seed": seed, "learned": a, "observed": b, "label": label, "similarity": likeness, "kernel_norm": 1.0,
                "actual": change if label == a else -0.5, "actual_measured": change, "predicted": predicted * change,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


CHANGES = pd.DataFrame(
    {
        "seed": [0] * 4 + [1] * 4 + [2] * 4,
        "predicted": [0.0, 1.0, 2.0, 3.0] * 3,
        "actual": [0.0, 2.0, 1.0, 3.0] * 3,
        "actual_small": [0.0, 0.1, 0.2, 0.3] * 3,
    }
)


def finding(table: pd.DataFrame, changes: pd.DataFrame | None = CHANGES) -> Finding:
    tables = {"images_influence": table} | ({} if changes is None else {"images_changes": changes})
    [found] = find_all(NONE, [], {}, tables)
    return found


def test_it_holds_where_influence_follows_likeness_and_theory() -> None:
    found = finding(influence())
    assert (found.id, found.verdict) == ("M1", HOLDS)
    assert (found.n, found.seeds) == (3, 3)
    assert found.estimate > 0.9


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"sign": -1.0}, "likeness in pixels"),
        ({"alike": -5.0}, "between 4 and 9"),
        ({"predicted": -1.0}, "prediction by A K G"),
    ],
)
def test_each_part_can_fail_it(changed: dict[str, float], part: str) -> None:
    found = finding(influence(**changed))
    assert found.verdict == FAILS
    assert found.reason.startswith("1 of 3 parts fails: ")
    assert part in found.reason


def test_the_influence_between_4_and_9_by_hand() -> None:
    """5 between them, less the mean over the eight other classes, of both rows.

    Row 4: 2 (1/2 + 1/3 + 1/4) + 1/5 (class 0) + 1/5 (class 8) = 77/30; row 9, classes 0 to 3 and 5 to 8:
    1/10 + 1/9 + 1/8 + 1/7 + 1/5 + 1/4 + 1/3 + 1/2 = 4441/2520.
    """
    measurement = influence_is_where_classes_look_alike(Evidence(NONE, [], {}, {"images_influence": influence()}))
    expected = 5 - (77 / 30 + 4441 / 2520) / 16
    assert measurement.parts[1].interval.estimate == pytest.approx(expected, abs=0.01)


def test_two_seeds_are_too_few() -> None:
    found = finding(influence(seeds=2))
    assert found.verdict == INCONCLUSIVE
    assert "seeds with finite numbers, at least 3 are needed" in found.reason
