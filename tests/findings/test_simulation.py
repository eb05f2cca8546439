"""The simulator does what it says, and the rules keep their two numbers: few false "holds", and power."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from rules import power_lines, rules_text
from scipy.special import nctdtr, stdtrit
from simulation import ASSUMED, EVALUATIONS, LOGGED, NULLS, power_table, rates, simulated

from ldyn.findings import CLAIMS
from ldyn.findings.claim import FAMILIES

PAGE = (Path(__file__).parents[2] / "docs" / "RULES.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| \w+ \| \d \|", line)]


def test_a_simulated_curve_goes_where_its_ramps_say() -> None:
    """y⁻ over SFT in 400 seeds: +10.1 by a fifth of the stage, then −18.1; seeds differ by a quarter of each."""
    evidence = simulated(LOGGED, 0.25, EVALUATIONS, 400, np.random.default_rng(0))
    curve = evidence.curve(evidence.stages[0], "rejected")
    assert curve is not None
    assert curve.values.mean()[[0, 6]].tolist() == pytest.approx([0, -8.0], abs=0.5)
    assert curve.values[2].mean() == pytest.approx(10.1 - 18.1 * (1 / 3 - 0.2) / 0.8, abs=0.4)
    assert curve.values[1].std() == pytest.approx(0.25 * 10.1 / 1.2, rel=0.15)
    assert evidence.probes(evidence.stages[1])[0] == "chosen"


def test_every_claim_has_an_effect_and_a_null_for_each_primary_part() -> None:
    assert set(CLAIMS) == {*NULLS, *ASSUMED}
    for name, nulls in NULLS.items():
        assert len(nulls) == sum(part.primary for part in CLAIMS[name].parts)


@pytest.mark.parametrize("name", ["E1", "K4"])
def test_power_of_one_part_is_that_of_the_noncentral_t(name: str) -> None:
    claim, seeds = CLAIMS[name], FAMILIES[CLAIMS[name].family].seeds
    critical = stdtrit(seeds - 1, 1 - claim.alpha)
    expected = 1 - nctdtr(seeds - 1, seeds**0.5 / 0.25, critical)
    power, false = rates(claim, 0.25, trials=200)
    assert power == pytest.approx(expected, abs=0.05)
    assert false <= 2 * claim.alpha


@pytest.mark.parametrize("name", ["S3", "D1", "D3"])
def test_core_claims_hold_at_the_authors_effect_and_not_without_it(name: str) -> None:
    power, false = rates(CLAIMS[name], 0.5, trials=40)
    assert power >= 0.8
    assert false <= 0.1  # of 40 trials; the page has more


def test_the_page_states_the_rules_as_they_are_declared() -> None:
    assert PAGE.startswith(rules_text()), "write it again: python scripts/rules.py"


def test_the_page_shows_few_false_holds_and_power_with_the_planned_seeds() -> None:
    assert [row[0] for row in ROWS] == list(CLAIMS)
    at_the_level = 5 + 2 * (0.05 * 0.95 / 2000) ** 0.5 * 100  # a family of one claim: 5 % but for simulation error
    for name, seeds, _, *shares in ROWS:
        quarter, false_quarter, half, false_half = (float(share.removesuffix(" %")) for share in shares)
        assert int(seeds) == FAMILIES[CLAIMS[name].family].seeds
        assert max(false_quarter, false_half) <= (at_the_level if CLAIMS[name].alpha == 0.05 else 5)
        assert quarter >= 80
        assert half >= 80 or int(seeds) < 8 or name == "S2"


@pytest.mark.slow
def test_the_page_is_what_the_simulator_finds() -> None:
    """Slow. All claims take many minutes: `python scripts/rules.py`."""
    for line in power_lines(list(power_table(claims=[CLAIMS["D2"], CLAIMS["K2"]]))):
        assert line in PAGE
