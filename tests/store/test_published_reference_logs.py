"""The logs that were really published: what is known of them comes out, and what is broken in them is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ldyn.findings import find_all
from ldyn.records import THIS_RUN, TRAJECTORY_COLUMNS, Finding
from ldyn.store.published_runs import LoggedStage, LogSource, import_logs, rows_of

Import = Callable[..., tuple[list[LoggedStage], dict[str, Finding]]]


@pytest.fixture
def imported(shared_directory: Path) -> Import:
    def read(*names: str) -> tuple[list[LoggedStage], dict[str, Finding]]:
        stages = import_logs([LogSource(shared_directory / "reference_logs" / name) for name in names])
        table = rows_of(stages).reindex(columns=list(TRAJECTORY_COLUMNS))
        return stages, {one.id: one for one in find_all(table, [stage.info for stage in stages])}

    return read


def test_pythia_sft_holds_s1_with_an_interval(imported: Import) -> None:
    stages, found = imported("pythia410m_sft")
    chosen = stages[0].log.probes["chosen"]
    assert chosen["logp"][[0, -1]].mean(axis=1) == pytest.approx([-152.0, -92.4], abs=0.05)
    assert chosen["logp_argmax"][[0, -1]].mean(axis=1) == pytest.approx([-61.6, -44.5], abs=0.05)
    assert set(found) == {"S1"}  # it has log π(chosen) alone
    assert (found["S1"].verdict, found["S1"].n) == (THIS_RUN, 500)
    assert found["S1"].ci_low > 55
    assert found["S1"].estimate == pytest.approx(152.0 - 92.4, abs=0.1)


def test_the_greedy_mass_of_pythia_dpo_is_that_of_the_last_probe(imported: Import) -> None:
    stages, found = imported("pythia410m_dpo")
    probes = stages[0].log.probes
    assert "logp_argmax" not in probes["chosen"]
    assert probes["random_nonhum"]["logp_argmax"][0].mean() == pytest.approx(-113.5, abs=0.05)
    assert "D3" not in found
    assert found["D1"].estimate == pytest.approx(5.64, abs=0.01)  # in this log y⁺ ends above its start


def test_the_two_pythia_logs_begin_with_the_same_weights(imported: Import) -> None:
    stages, _ = imported("pythia410m_sft", "pythia410m_dpo")
    assert [stage.info.start for stage in stages] == ["base", "base"]


def test_qwen_has_means_only_and_they_point_where_s1_and_d3_say(imported: Import) -> None:
    stages, found = imported("qwen1_8b_sft", "qwen1_8b_dpo")
    assert [stage.info.start for stage in stages] == ["base", "sft"]
    assert {(finding.verdict, finding.n) for finding in found.values()} == {(THIS_RUN, 0)}
    assert found["S1"].estimate == pytest.approx(122.8 - 56.4, abs=0.1)
    assert found["D3"].estimate == pytest.approx(30.0 - 15.4, abs=0.1)
    for name in ("S1", "S3", "S5", "S6", "D3"):
        assert all((part.estimate > 0) == (part.claimed == "above") for part in found[name].parts if part.primary)
    assert found["D3b"].estimate < 0
