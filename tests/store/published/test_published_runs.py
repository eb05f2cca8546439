"""An imported directory is a run as any other: the command line makes it, verifies it and reports on it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ldyn.cli.main import main
from ldyn.store import read_run

Columns = dict[str, np.ndarray]
WriteLog = Callable[..., Path]


@pytest.fixture
def directories(write_log: WriteLog, sft_columns: Columns, dpo_columns: Columns) -> tuple[str, str]:
    return str(write_log("pythia_sft", sft_columns)), str(write_log("pythia_dpo", dpo_columns))


def findings(path: Path) -> dict[str, dict[str, str]]:
    return {finding["id"]: finding for finding in json.loads((path / "findings.json").read_text())}


def test_two_directories_become_the_stages_of_one_run(
    directories: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "both"
    assert main(["import-logs", *directories, "--out", str(out), "--examples-apart", "1000", "500"]) == 0
    printed = capsys.readouterr().out
    assert "averaged as the square of a mean of norms" in printed
    found = findings(out)
    verdicts = {name: found[name]["verdict"] for name in ("S1", "D1", "D3", "D3b")}
    assert verdicts == {"S1": "holds", "D1": "holds", "D3": "holds", "D3b": "fails"}
    assert found["D3"]["estimate"] == pytest.approx(4, abs=0.2)  # −9 to −5
    # per 1,000 examples: the greedy mass rises by 4 over 1,000, chosen by 20 over 3,000
    assert found["D3b"]["estimate"] == pytest.approx(4 / 1 - 20 / 3, abs=0.2)
    assert main(["verify", str(out)]) == 0
    assert "The stored findings are what the trajectories say." in capsys.readouterr().out
    run = read_run(out)
    assert run.manifest["status"] == "finished"
    assert run.manifest["counts"]["dpo.evaluations"] == 3
    assert len(run.manifest["hashes"]) == 4
    assert run.trajectories["n_tokens"].isna().all()
    page = (out / "report.html").read_text()
    assert "What to know of the numbers" in page
    assert "averaged as the square of a mean of norms" in page


def test_means_alone_give_findings_without_a_verdict(write_log: WriteLog, sft_columns: Columns, tmp_path: Path) -> None:
    directory, out = write_log("sft", sft_columns, examples=False), tmp_path / "means"
    assert main(["import-logs", str(directory), "--out", str(out)]) == 0
    (s1,) = findings(out).values()
    assert (s1["verdict"], s1["n"], s1["ci_low"]) == ("inconclusive", 0, None)
    assert s1["estimate"] == pytest.approx(20, abs=0.2)
    assert "Only means over the examples are known, so there is no interval; 2 of 2 on the claimed side" in s1["reason"]
    page = (out / "report.html").read_text()
    assert "mean only" in page
    assert "n = 0" not in page
    assert main(["verify", str(out)]) == 0


def test_what_was_not_measured_is_not_drawn(write_log: WriteLog, early_columns: Columns, tmp_path: Path) -> None:
    out = tmp_path / "early"
    assert main(["import-logs", str(write_log("early_dpo", early_columns)), "--out", str(out)]) == 0
    assert "D3" not in findings(out)  # nothing is known of the greedy mass along chosen
    page = (out / "report.html").read_text()
    assert "greedy_mass_entropy.png is not drawn: none of what it shows was measured along &#39;chosen&#39;" in page
    chart = json.loads(page.split('id="chart-data">')[1].split("</script>")[0])
    assert "greedy" not in chart["values"]["dpo"]["train"]
    assert set(chart["values"]["dpo"]["train"]["random_nonhum"]) > {"logp", "logp_argmax"}
    assert "entropy" not in {quantity["key"] for quantity in chart["quantities"]}


def test_importing_verifying_and_reporting_need_no_torch(directories: tuple[str, str], tmp_path: Path) -> None:
    lines = [
        ["import-logs", directories[0], "--out", str(tmp_path / "run")],
        ["verify", str(tmp_path / "run")],
        ["report", str(tmp_path / "run"), "--reference", str(tmp_path / "run")],
    ]
    code = (
        "import sys; sys.modules['torch'] = None\n"  # makes every import of torch raise ImportError
        f"from ldyn.cli.main import main\nsys.exit(max(main(line) for line in {lines!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stage", "sft"], "--stage: found 1 values for 2 directories; give one each"),
        (["--examples-apart", "1", "2", "3"], "--examples-apart: found 3 values for 2 directories"),
        (["--start", "base", "warm"], "starts from 'warm'"),
    ],
)
def test_options_that_do_not_fit_the_directories(
    directories: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["import-logs", *directories, "--out", str(tmp_path / "run"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("run*"))


def test_a_directory_that_cannot_be_used_leaves_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import-logs", str(tmp_path / "no_sft"), "--out", str(tmp_path / "run")]) == 1
    assert "There is no directory" in capsys.readouterr().err
    assert not list(tmp_path.glob("run*"))


def test_a_run_is_never_overwritten(
    directories: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    assert main(["import-logs", directories[0], "--out", str(tmp_path / "run")]) == 1
    assert "a run is never overwritten" in capsys.readouterr().err
