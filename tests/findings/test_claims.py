"""The register of claims, and what every finding has in common."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from ldyn.findings import CLAIMS, find_all
from ldyn.findings.tables import findings_table
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, TRAJECTORY_COLUMNS, Finding


def finding(verdict: str, **changes: Any) -> Finding:
    values = {
        "id": "S1", "claim": "y⁺ rises", "estimate": 1.25, "ci_low": 1.0, "ci_high": 1.5, "unit": "nats", "n": 80,
        "seeds": 1, "verdict": verdict, "reason": "change of chosen [step 3]: +1.25", "paper": "Fig. 3",
    }  # fmt: skip
    return Finding(**(values | changes))


@pytest.mark.parametrize("name", list(CLAIMS))
def test_every_claim_states_its_statistic_and_its_rule(name: str) -> None:
    words = inspect.getdoc(CLAIMS[name].measure) or ""
    assert words.startswith((f"{name}:", f"{name}, "))
    assert "statistic" in words.lower()
    assert "rule" in words.lower()


def test_claims_are_the_papers_in_the_papers_order() -> None:
    of_runs = ["S1", "S2", "S3", "S4", "S5", "S6", "D1", "D2", "D3", "D3b", "D4", "E1", "E2", "E3", "O1"]
    of_studies = ["T1", "T2", "T3", "T4", "T5", "M1", "K1", "K2", "K3", "K4", "K5"]
    assert list(CLAIMS) == [*of_runs, *of_studies]


def test_findings_come_in_the_order_of_claims_and_twice_the_same(build: Any, four_stages: Any) -> None:
    sft, dpo, *_ = four_stages
    run = build(spread=3.0)
    for stage in (dpo, sft):
        for probe in ("random_permute", "random_nonhum", "rejected", "chosen"):
            run.add(stage, probe, [-20, -22, -21])
    findings = run.findings()
    assert list(findings) == ["S1", "S3", "S6", "D1", "D3", "D3b"]
    assert [asdict(one) for one in run.findings().values()] == [asdict(one) for one in findings.values()]
    assert all(one.ci_low <= one.estimate <= one.ci_high for one in findings.values())
    assert {one.seeds for one in findings.values()} == {1}


def test_the_order_of_rows_does_not_matter(build: Any, four_stages: Any) -> None:
    run = build(spread=3.0).add(four_stages[0], "chosen", [-20, -15, -16, -14])
    shuffled = run.table.sample(frac=1.0, random_state=1)
    assert find_all(shuffled, run.stages) == find_all(run.table, run.stages)


def test_an_empty_table_gives_no_findings(four_stages: Any) -> None:
    assert find_all(pd.DataFrame(columns=list(TRAJECTORY_COLUMNS)), four_stages) == []


def rendered(findings: list[Finding]) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(findings_table(findings))
    return captured.get()


def test_the_table_shows_verdicts_in_words_and_counts_them() -> None:
    text = rendered([finding(HOLDS), finding(FAILS, id="D1"), finding(INCONCLUSIVE, id="D3")])
    for words in ("S1", "D1", "holds", "fails", "inconclusive", "+1.25 [+1.00, +1.50]", "nats", "80", "[step 3]"):
        assert words in text
    assert "1 holds, 1 fails, 1 inconclusive" in " ".join(text.split())


def test_the_table_shows_no_interval_where_there_is_none() -> None:
    text = rendered([finding(INCONCLUSIVE, ci_low=float("nan"), ci_high=float("nan"), n=1)])
    assert "nan" not in text
    assert "+1.25 nats" in text


def test_findings_need_no_torch() -> None:
    modules = "ldyn.findings, ldyn.findings.verify, ldyn.findings.tables"
    code = f"import sys; sys.modules['torch'] = None; import {modules}; assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
