"""The rules as a whole: families, primary and secondary parts, and that the docs state them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ldyn.findings import CLAIMS
from ldyn.findings.claim import ALPHA, FAMILIES
from ldyn.records import THIS_RUN


def test_every_claim_is_in_one_family_and_has_a_primary_part() -> None:
    members = [name for family in FAMILIES.values() for name in family.claims]
    assert Counter(members) == Counter(list(CLAIMS))
    for claim in CLAIMS.values():
        assert any(part.primary for part in claim.parts)
        quantities = [part.quantity for part in claim.parts if part.primary]
        assert len(set(quantities)) == len(quantities)
        assert claim.alpha * len(FAMILIES[claim.family].claims) == pytest.approx(ALPHA)


def test_one_run_has_estimates_and_no_verdict(build: Any, four_stages: Any) -> None:
    run = build(examples=20).add(four_stages[0], "chosen", [-20, -15, -10])
    found = run.findings(planned_steps={"sft": 500})["S1"]
    assert (found.verdict, found.n, found.seeds) == (THIS_RUN, 20, 1)
    assert found.estimate == pytest.approx(10)
    assert found.ci_low < 10 < found.ci_high
    assert [(part.name, part.primary, part.estimate) for part in found.parts] == [
        ("change of y⁺", True, pytest.approx(10)),
        ("change of y⁺ over the second half", False, pytest.approx(5)),
    ]
    assert {part.verdict for part in found.parts} == {THIS_RUN}
    assert "Secondary: change of y⁺ over the second half +5" in found.reason
    assert "Stage sft stopped at step 20 of 500" in found.reason


def test_a_row_without_numbers_takes_its_example_out_of_its_claims_alone(build: Any, four_stages: Any) -> None:
    run = build(examples=20).add(four_stages[0], "chosen", [-20, -15, -10])
    run.add(four_stages[0], "irr_train", [-20, -15, -10]).add(four_stages[0], "rejected", [-9, -5, -10])
    whole = run.findings()
    run.frames[1].loc[run.frames[1]["example_id"] == "q5", "logp"] = float("nan")
    run.frames[2].loc[(run.frames[2]["example_id"] == "q7") & (run.frames[2]["step"] == 10), "logp"] = float("nan")
    found = run.findings()
    assert {name: one.n for name, one in found.items()} == {"S1": 20, "S3": 19, "S4": 19}
    assert found["S1"] == whole["S1"]
