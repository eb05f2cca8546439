"""`verify` on run directories: what is stored is recomputed from the trajectories, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ldyn.findings import find_all
from ldyn.findings.verify import differences, verify
from ldyn.records import ProbeScore, ProbeStep
from ldyn.store import RunDirectory, TrajectoryStore


@pytest.fixture
def unfinished(tmp_path: Path, build: Any, four_stages: Any) -> RunDirectory:
    """A run whose SFT raised y⁺; merged, with its findings stored, but not yet published."""
    return a_run(tmp_path / "first", build(examples=20).add(four_stages[0], "chosen", [-20, -15, -10]))


def a_run(path: Path, run: Any, seed: int = 0) -> RunDirectory:
    directory = RunDirectory.create(path)
    manifest = {"schema_version": 1, "status": "running", "name": "exp", "seed": seed, "stages": run.stages}
    directory.write_json("manifest.json", manifest)
    store = TrajectoryStore(directory.path)
    for step, rows in run.table.groupby("step"):
        names = ProbeScore.__dataclass_fields__
        scores = [ProbeScore(**{name: row[name] for name in names}) for row in rows.to_dict("records")]
        store.append(ProbeStep("sft", "sft_sum", int(step), 8 * int(step), 0.0), scores)
    store.publish()
    directory.write_json("findings.json", find_all(run.table, run.stages))
    return directory


def reported(paths: list[Path], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = verify(paths, as_json=True)
    return code, json.loads(capsys.readouterr().out)


def test_findings_that_are_what_the_trajectories_say_are_confirmed(
    unfinished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    published = unfinished.publish()
    code, report = reported([published.parent / "latest"], capsys)
    assert (code, report["agrees"], report["runs"][0]["stored"]) == (0, True, "same")
    assert [finding["verdict"] for finding in report["runs"][0]["findings"]] == ["this run"]
    assert verify([published], as_json=False) == 0
    text = capsys.readouterr().out
    assert "A verdict takes several seeds" in text
    assert "The stored findings agree with the trajectories." in text


def test_a_table_that_was_changed_is_found_bit_by_bit(
    unfinished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    path = unfinished.publish() / "trajectories.parquet"
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 12):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        code, report = reported([path.parent], capsys)
        run = report["runs"][0]
        assert code == 1
        assert str(path) in (run["error"] or run["differences"][0])


def test_a_run_that_goes_back_has_no_findings_until_it_has_new_ones(
    unfinished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    TrajectoryStore(unfinished.path).discard_after("sft", 0)
    code, report = reported([unfinished.path], capsys)
    assert (code, report["runs"][0]["stored"]) == (0, "absent")


def test_an_altered_verdict_is_found(unfinished: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    path = unfinished.path / "findings.json"
    path.write_text(path.read_text().replace('"this run"', '"fails"'))
    code, report = reported([unfinished.path], capsys)
    assert (code, report["agrees"]) == (1, False)
    assert report["runs"][0]["differences"] == ["S1: verdict is stored as 'fails', now 'this run'"]
    assert verify([unfinished.path], as_json=False) == 1
    assert "differs S1: verdict is stored as 'fails', now 'this run'" in capsys.readouterr().out


def test_an_unreadable_run_does_not_hide_the_others(
    unfinished: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = reported([tmp_path / "nowhere", unfinished.path], capsys)
    assert code == 1
    assert "There is no run directory" in report["runs"][0]["error"]
    assert report["runs"][1]["stored"] == "same"
    assert verify([tmp_path / "nowhere"], as_json=False) == 1
    assert "There is no run directory" in capsys.readouterr().out


def test_a_run_that_has_measured_nothing_yet_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = RunDirectory.create(tmp_path / "first")
    directory.write_json("manifest.json", {"schema_version": 1, "status": "running", "stages": []})
    assert verify([directory.path], as_json=False) == 0
    assert "nothing measured so far tests a claim" in capsys.readouterr().out


def test_a_directory_of_runs_is_judged_run_by_run_and_over_seeds(
    tmp_path: Path, build: Any, four_stages: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(4):
        run = build(examples=20).add(four_stages[0], "chosen", [-20, -15, -10 + seed])
        directory = a_run(tmp_path / str(seed), run, seed)
        if seed < 3:
            directory.publish()
    code, report = reported([tmp_path], capsys)
    assert (code, len(report["runs"]), report["agrees"]) == (0, 4, True)
    [together] = report["over_seeds"]
    assert together["runs"] == ["0", "1", "2"]  # the fourth has not finished
    [finding] = together["findings"]
    # y⁺ rises by 10, 11, 12: mean 11 ± 2.484
    assert (finding["id"], finding["agreeing"], finding["verdict"]) == ("S1", 3, "holds")
    assert finding["seeds_needed"] == 3
    assert (finding["estimate"], finding["ci_high"]) == pytest.approx((11, 13.48414), abs=1e-5)
    assert verify([tmp_path], as_json=False) == 0
    assert "findings over seeds, runs 0, 1, 2" in capsys.readouterr().out.replace("\n", " ")


def test_runs_of_one_seed_are_verified_though_they_cannot_be_judged_together(
    unfinished: RunDirectory, tmp_path: Path, build: Any, four_stages: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    unfinished.publish()
    a_run(tmp_path / "second", build(examples=20).add(four_stages[0], "chosen", [-20, -15, -12])).publish()
    code, report = reported([tmp_path], capsys)
    assert (code, [run["stored"] for run in report["runs"]]) == (0, ["same", "same"])
    assert "first and second both have seed 0" in report["over_seeds"][0]["error"]
    assert verify([tmp_path], as_json=False) == 0
    assert "both have seed 0" in capsys.readouterr().out


def test_findings_by_earlier_rules_are_computed_again_and_not_called_wrong(
    unfinished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    path = unfinished.path / "findings.json"
    stored = [{key: value for key, value in row.items() if key != "parts"} for row in json.loads(path.read_text())]
    path.write_text(json.dumps([row | {"verdict": "holds"} for row in stored]))
    code, report = reported([unfinished.path], capsys)
    assert (code, report["runs"][0]["stored"]) == (0, "earlier rules")
    assert report["runs"][0]["findings"][0]["verdict"] == "this run"


def test_every_kind_of_difference_is_named(build: Any, four_stages: Any) -> None:
    run = build().add(four_stages[0], "chosen", [-20, -15, -10]).add(four_stages[0], "rejected", [-20, -15, -22])
    s1, s3 = find_all(run.table, run.stages)
    assert differences([s1, s3], [s1, s3]) == []
    assert differences([s1], [s1, s3]) == ["S3 is not stored, but the trajectories give it"]
    assert differences([s1, s3], [s1]) == ["S3 is stored, but the trajectories do not give it"]
    assert differences([s1, s1], [s1]) == ["an id is stored more than once"]
    rounded = replace(s1, estimate=s1.estimate * (1 + 1e-9))
    assert differences([rounded], [s1]) == []
    (moved,) = differences([replace(s1, ci_low=s1.ci_low + 0.001)], [s1])
    assert moved.startswith("S1: ci_low is stored as")
    absent = replace(s1, ci_low=float("nan"))
    assert differences([absent], [absent]) == []
    assert len(differences([absent], [s1])) == 1


def test_findings_removed_from_a_finished_run_are_missed(
    unfinished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    (unfinished.path / "findings.json").unlink()
    code, report = reported([unfinished.path], capsys)
    assert (code, report["runs"][0]["stored"]) == (0, "absent")  # as any run that has not come to its end
    code, report = reported([unfinished.publish()], capsys)
    assert (code, report["runs"][0]["stored"]) == (1, "different")


def test_verifying_needs_no_torch(unfinished: RunDirectory) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"  # makes every import of torch raise ImportError
        "from pathlib import Path; from ldyn.findings.verify import verify\n"
        f"sys.exit(verify([Path({str(unfinished.publish())!r})], as_json=True))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["agrees"] is True
