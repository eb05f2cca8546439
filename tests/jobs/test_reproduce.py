"""`ldyn reproduce`: valid jobs at every scale, the list of a dry run, and a small reproduction from start to page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ldyn.cli.hydra_jobs import composed_settings
from ldyn.cli.main import main
from ldyn.cli.settings_command import validated_as
from ldyn.config.jobs import new_config
from ldyn.config.loading import plain_settings
from ldyn.jobs.reproduce import ReproduceConfig, plain_jobs, training_jobs
from ldyn.store.sweeps import continue_command

LDYN = Path(__file__).parents[2] / "ldyn" / "__main__.py"


def configured(*overrides: str) -> ReproduceConfig:
    return validated_as(ReproduceConfig, plain_settings(composed_settings("reproduce", overrides)))


@pytest.mark.parametrize("scale", ["tiny", "smoke", "paper"])
def test_every_job_of_every_scale_is_valid(scale: str) -> None:
    jobs = training_jobs(configured(f"scale={scale}", "seeds=1"))
    for overrides in jobs.values():
        new_config(composed_settings("train", [*overrides, "run=x"]), overrides, [])


def test_neighbours_differ_in_their_seed_so_that_they_can_run_at_a_time() -> None:
    assert list(training_jobs(configured("scale=smoke", "seeds=2", "seed=5"))) == [
        "decompose-5",
        "decompose-6",
        "extend_wins-5",
        "extend_wins-6",
    ]


def test_a_part_runs_as_many_seeds_as_it_says_unless_one_number_is_given_for_all() -> None:
    jobs = training_jobs(configured("seed=100"))
    core = [name for name in jobs if name.startswith("dpo_squeeze-")]
    assert core == [f"dpo_squeeze-{seed}" for seed in range(100, 108)]
    assert sum(name.startswith("on_policy-") for name in jobs) == 3
    assert [name for name in jobs if name.startswith("grpo-")] == [f"grpo-{seed}" for seed in range(200, 205)]
    assert sum(name.startswith("dpo_squeeze-") for name in training_jobs(configured("seeds=2"))) == 2
    assert plain_jobs(configured("seed=100"))["studies/toy"][1:3] == ("seed=100", "seeds=5")


def test_logs_are_imported_by_a_command_that_import_logs_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = plain_jobs(configured(f"+logs.mine=[{tmp_path / 'no_log'}]"))
    assert main(list(jobs["logs/mine"])) == 1
    assert f"There is no {tmp_path / 'no_log'}" in capsys.readouterr().err


def test_a_dry_run_lists_the_jobs_that_have_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "reproduce" / "smoke" / "decompose-0").mkdir(parents=True)
    assert main(["reproduce", "scale=smoke", "seeds=2", "jobs=1", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "extend_wins-1: ldyn train +exp=" in shown
    assert "5 of 6 jobs have not finished; 1 run at a time" in shown


@pytest.mark.slow
def test_a_small_reproduction_ends_with_a_page_and_continues(
    tmp_path: Path, forked: Callable[..., CompletedProcess[str]]
) -> None:
    words = ["reproduce", "scale=smoke", "seeds=1", "jobs=1"]
    done = forked([LDYN, *words], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    directory = tmp_path / "outputs" / "reproduce" / "smoke"
    assert "2 jobs: 2 new" in done.stderr
    assert (directory / "RESULTS.md").exists()
    assert continue_command(directory) == "ldyn reproduce scale=smoke seeds=1 jobs=1"
    again = forked([LDYN, *words], cwd=tmp_path)
    assert "2 jobs: 2 finished" in again.stderr
