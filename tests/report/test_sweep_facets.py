"""A sweep over seeds and other keys: facets, what cannot be compared, and jobs that have not finished."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ldyn.cli.main import main
from ldyn.errors import RunDirectoryError
from ldyn.report import compare_sweep, draw_seeds, is_sweep
from ldyn.store import RunDirectory
from ldyn.store.sweeps import Sweep, SweepJob, write_sweep

from .test_report_arms import STAGES, trajectories

FINDING = {
    "id": "D1", "claim": "DPO lowers", "unit": "nats", "n": 2, "seeds": 1, "verdict": "holds", "reason": "-",
    "paper": "-", "ci_low": -1.0, "ci_high": 1.0,
}  # fmt: skip


def compared(path: Path) -> str:
    compare_sweep(path)
    return (path / "comparison.md").read_text()


def write_run(path: Path, seed: int, beta: float, *, pairs: int = 32, data: str = "", status: str = "finished") -> None:
    directory = RunDirectory.create(path)
    stages = [{field: getattr(stage, field) for field in type(stage).__slots__} | {"steps": 9} for stage in STAGES]
    settings = {"name": "arms", "run": path.name, "seed": seed, "dataset": {"source": "microworld", "pairs": pairs}}
    directory.write_text("config.yaml", yaml.safe_dump(settings | {"stages": {"dpo": {"algorithm": {"beta": beta}}}}))
    manifest: dict[str, Any] = {
        "schema_version": 1, "name": "arms", "seed": seed, "stages": stages, "seconds": {"sft": 1.0},
        "peak_memory_mib": 1, "status": status, "hashes": {"data": data or f"of seed {seed}"},
    }  # fmt: skip
    if status != "finished":
        directory.write_json("manifest.json", manifest | {"error": "TrainingError: the loss is nan"})
        directory.free()
        return
    directory.write_json("manifest.json", manifest)
    directory.write_json("findings.json", [FINDING | {"estimate": -10 * beta - seed}])
    directory.write_table("trajectories", trajectories(float(seed) + 100 * beta))
    directory.publish()


def test_runs_of_several_seeds_are_compared(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / str(seed), seed, 0.0)
    assert is_sweep(tmp_path)
    assert not is_sweep(tmp_path / "0")
    page = compared(tmp_path)
    assert "| dpo | −4.50 ± 1.24 | −25.0 ± 0.00 |" in page  # means −4, −4.5, −5; 4.303 · 0.5 / √3
    assert re.search(r"\*\*D1\*\* .* \| ✓ holds −4\.50 \[−5\.74, −3\.26\] \(3.*; p 0\.002, 0\.0082\) \|", page)
    assert (tmp_path / "arms.png").exists()


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "0", 0, 0.0)
    with pytest.raises(RunDirectoryError, match="1 finished runs, expected at least 2"):
        compare_sweep(tmp_path)
    write_run(tmp_path / "1", 0, 0.0)
    with pytest.raises(RunDirectoryError, match="more than one run of seed 0"):
        compare_sweep(tmp_path)


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    """seed=0,1 × beta=0.2,0.1, and a job of which nothing is known."""
    jobs = [(seed, beta) for beta in (0.2, 0.1) for seed in (0, 1)]
    for number, (seed, beta) in enumerate(jobs):
        write_run(tmp_path / str(number), seed, beta)
    named = [(*job, str(number)) for number, job in enumerate([*jobs, (2, 0.1)])]
    recorded = [
        SweepJob(run, ("+exp=arms", f"seed={seed}", f"algorithm.beta={beta}"), run) for seed, beta, run in named
    ]
    write_sweep(tmp_path, Sweep(("-m", "+exp=arms", "seed=0,1,2"), tuple(recorded)))
    return tmp_path


def test_runs_are_grouped_by_the_swept_keys_in_the_order_of_their_values(swept: Path) -> None:
    page = compared(swept)
    assert "| claim | beta=0.1 | beta=0.2 |" in page
    # two seeds are too few for a verdict; the greedy mass changes by half of what y⁺ does
    assert re.search(
        r"\*\*D3\*\* .* \| \? inconclusive −4\.62 .*\(0 of 2 as claimed.*\) \| \? inconclusive −7\.12 .*\(0 of 2", page
    )
    # the SFT before is shared by all: its claims are listed once
    shared = page.split("The same in all of them:")[1]
    assert re.findall(r"\| \*\*S1\*\*.*\| (.*) \|", shared) == [
        "? inconclusive +0.00 [+0.00, +0.00] (0 of 2 as claimed; p 1, 1)"
    ]
    assert page.count("**S1**") == 1
    assert '<img src="data:image/png' in (swept / "comparison.html").read_text()
    # y⁺ changes by (−2 − 6 − shift) / 2, shift = seed + 100 β: means −9.25 and −14.25; 12.706 · 0.354 / √2 = 3.18
    assert "| dpo, beta=0.1 | −9.25 ± 3.18 |" in page
    assert "| dpo, beta=0.2 | −14.2 ± 3.18 |" in page
    arms = [
        line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith(("| dpo", "| ipo"))
    ]
    assert arms == ["dpo, beta=0.1", "dpo, beta=0.2", "ipo, beta=0.1", "ipo, beta=0.2"]
    assert (swept / "arms.png").exists()


def test_without_a_record_the_configurations_say_what_differs(swept: Path) -> None:
    (swept / "sweep.json").unlink()
    assert "| claim | beta=0.1 | beta=0.2 |" in compared(swept)


def test_one_run_of_each_value_has_intervals_over_its_examples(tmp_path: Path) -> None:
    for number, beta in enumerate((0.1, 0.2)):
        write_run(tmp_path / str(number), 0, beta)
    page = compared(tmp_path)
    assert "| **D1** DPO lowers (nats) | ✓ holds −1.00 [−1.00, +1.00] | ✓ holds −2.00 [−1.00, +1.00] |" in page
    assert "mean over the probe examples of one run" in page


def test_jobs_that_have_not_finished_are_listed_with_the_command_that_goes_on(swept: Path) -> None:
    write_run(swept / "5", 3, 0.1, status="failed")
    page = compared(swept)
    assert "- job 4 (seed=2 algorithm.beta=0.1) has not started" in page
    assert "- job 5 failed: TrainingError: the loss is nan" in page
    assert f"Continue with: ldyn train -m +exp=arms seed=0,1,2 resume=auto hydra.sweep.dir={swept}" in page


def test_a_sweep_without_finished_runs_says_what_became_of_them(tmp_path: Path) -> None:
    write_run(tmp_path / "0", 0, 0.1, status="interrupted")
    assert is_sweep(tmp_path)
    with pytest.raises(RunDirectoryError, match="0 finished runs, expected at least 2") as caught:
        compare_sweep(tmp_path)
    assert f"ldyn train resume={tmp_path / '0.partial'}" in str(caught.value)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"pairs": 64}, "different worlds: dataset.pairs is 32 in 0, 64 in 1"),
        ({"data": "other"}, "different worlds: 0 and 1 have one seed and dataset, but not the same data"),
    ],
)
def test_runs_of_different_worlds_are_refused(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    write_run(tmp_path / "0", 0, 0.1)
    write_run(tmp_path / "1", 0, 0.2, **other)
    with pytest.raises(RunDirectoryError, match=said):
        compare_sweep(tmp_path)


def test_the_figure_over_seeds_takes_unfinished_runs_and_one_setting_only(swept: Path, tmp_path: Path) -> None:
    picture = tmp_path / "seeds.png"
    assert main(["report", str(swept / "0"), str(swept / "1"), "--seeds", str(picture)]) == 0
    assert picture.exists()
    with pytest.raises(RunDirectoryError, match=r"The runs differ in beta=0\.1; beta=0\.2; expected runs that differ"):
        draw_seeds([swept / "0", swept / "2"], picture)
    write_run(tmp_path / "one" / "3", 3, 0.2, status="interrupted")
    with pytest.raises(RunDirectoryError, match="nothing to draw: no stage has been evaluated"):
        draw_seeds([swept / "0", tmp_path / "one" / "3.partial"], picture)
