"""Which jobs of a sweep run: all, or with `resume=auto` what is missing, by their settings and not by their numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ldyn.cli.hydra_jobs import composed_settings
from ldyn.cli.main import main
from ldyn.config.loading import config_to_yaml, load_config
from ldyn.config.schema import RunConfig
from ldyn.errors import ConfigError, LdynError
from ldyn.jobs.sweep_plan import Plan, plan_sweep
from ldyn.store import RunDirectory
from ldyn.store.sweeps import read_sweep, write_sweep

Job = tuple[list[str], RunConfig]


def job(*overrides: str) -> Job:
    return list(overrides), load_config(composed_settings("train", ["+exp=smoke", *overrides]))


@pytest.fixture(scope="module")
def seeds() -> Callable[..., list[Job]]:
    """The jobs of `seed=<numbers>`."""
    jobs = {seed: job(f"seed={seed}") for seed in range(4)}
    return lambda *numbers: [jobs[seed] for seed in numbers]


def begin(directory: Path, run: str, config: RunConfig, *, finish: bool) -> None:
    """A run that has written its configuration, and perhaps ended."""
    run_directory = RunDirectory.create(directory / run)
    run_directory.write_text("config.yaml", config_to_yaml(config))
    run_directory.write_json("manifest.json", {"status": "finished" if finish else "interrupted"})
    run_directory.publish() if finish else run_directory.free()


def planned(directory: Path, wanted: Sequence[Job], *, auto: bool = True) -> Plan:
    plan = plan_sweep(directory, wanted, ["-m", "+exp=smoke"], auto=auto)
    write_sweep(directory, plan.sweep)
    return plan


def launched(plan: Plan) -> list[str]:
    return [" ".join(words) for words in plan.launched_with()]


def test_a_new_sweep_numbers_its_jobs(tmp_path, seeds):
    plan = planned(tmp_path, seeds(1, 2), auto=False)
    assert launched(plan) == ["seed=1 run=0", "seed=2 run=1"]
    assert [(one.run, one.overrides) for one in read_sweep(tmp_path).jobs] == [("0", ("seed=1",)), ("1", ("seed=2",))]


def test_finished_jobs_are_left_out_unfinished_ones_go_on_and_missing_ones_begin(tmp_path, seeds):
    planned(tmp_path, seeds(1, 2, 3), auto=False)
    begin(tmp_path, "0", seeds(1)[0][1], finish=True)
    begin(tmp_path, "1", seeds(2)[0][1], finish=False)
    plan = planned(tmp_path, seeds(1, 2, 3))
    assert launched(plan) == [f"seed=2 run=1 resume='{tmp_path / '1.partial'}'", "seed=3 run=2"]
    assert plan.in_words() == "3 jobs: 1 new, 1 to go on, 1 finished"


def test_it_is_the_configuration_that_counts(tmp_path, seeds):
    """Another order, and other values in front: the numbers stay with the runs that have them."""
    planned(tmp_path, seeds(1, 2), auto=False)
    begin(tmp_path, "0", seeds(1)[0][1], finish=True)
    begin(tmp_path, "1", seeds(2)[0][1], finish=True)
    plan = planned(tmp_path, seeds(3, 2, 0, 1))
    assert launched(plan) == ["seed=3 run=2", "seed=0 run=3"]
    assert [one.run for one in read_sweep(tmp_path).jobs] == ["0", "1", "2", "3"]
    begin(tmp_path, "2", seeds(3)[0][1], finish=True)
    assert launched(planned(tmp_path, seeds(0))) == ["seed=0 run=3"]  # it has not begun, and keeps its number


def test_another_tracker_is_the_same_run_and_what_would_run_twice_is_refused(tmp_path, seeds):
    planned(tmp_path, seeds(1))
    begin(tmp_path, "0", seeds(1)[0][1], finish=True)
    assert launched(planned(tmp_path, [job("seed=1", "logger=none")])) == []
    with pytest.raises(ConfigError, match=r"found 1 runs in .*; add resume=auto"):
        planned(tmp_path, seeds(1), auto=False)
    with pytest.raises(ConfigError, match="jobs that are the same run: seed=1; seed=1"):
        planned(tmp_path, seeds(1, 2, 1))


def test_a_run_that_is_being_written_is_left_alone(tmp_path, seeds):
    planned(tmp_path, seeds(1))
    begin(tmp_path, "0", seeds(1)[0][1], finish=False)
    code = "import sys; from pathlib import Path; from ldyn.store import RunDirectory\n"
    code += "directory = RunDirectory.reopen(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "0")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(LdynError, match=r"Jobs 0 of .* are running"):
            planned(tmp_path, seeds(1))
        writer.stdin.close()
    assert len(planned(tmp_path, seeds(1)).to_run) == 1


def test_what_was_killed_before_it_wrote_anything_begins_anew(tmp_path, seeds):
    (tmp_path / "0.partial").mkdir()
    (tmp_path / "0.partial" / ".lock").touch()
    assert launched(planned(tmp_path, seeds(1))) == ["seed=1 run=0"]
    RunDirectory.create(tmp_path / "0").free()


def test_a_path_survives_hydra_s_grammar(tmp_path, seeds):
    directory = tmp_path / "it's=a, {test}"
    planned(directory, seeds(1))
    begin(directory, "0", seeds(1)[0][1], finish=False)
    [words] = planned(directory, seeds(1)).launched_with()
    [parsed] = OverridesParser.create().parse_overrides([words[-1]])
    assert parsed.value() == str(directory / "0.partial")


class TestCommandLine:
    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def test_faults_of_all_jobs_are_told_before_any_begins(self, tmp_path, capsys):
        words = ["+exp=smoke", "seed=1,2", "algorithm.beta=0.1,-1", "trainer.batch_size=0"]
        assert main(["train", "-m", *words]) == 2
        told = capsys.readouterr().err
        assert "beta: found -1, expected a number in (0, inf)" in told
        assert "in 2 jobs, the first: +exp=smoke seed=1 algorithm.beta=-1" in told
        assert "batch_size" in told
        assert list(tmp_path.iterdir()) == []

    def test_resume_needs_a_directory_that_can_be_found_again(self, capsys):
        assert main(["train", "-m", "+exp=smoke", "seed=1,2", "resume=auto"]) == 2
        assert "expected hydra.sweep.dir=outputs/sweeps/NAME, always the same" in capsys.readouterr().err
        assert main(["train", "-m", "+exp=smoke", "seed=1,2", "resume=outputs/x"]) == 2
        assert "with -m, expected resume=auto" in capsys.readouterr().err
        assert main(["train", "-m", "+exp=smoke", "seed=1,2", "run=mine"]) == 2
        assert "found a name with -m, whose jobs are numbered" in capsys.readouterr().err
        assert main(["train", "+exp=smoke", "resume=auto"]) == 2
        assert "expected run=NAME, the same each time" in capsys.readouterr().err

    @pytest.mark.parametrize("launcher", ["submitit_slurm", "slurm_gpu"])
    def test_without_sbatch_the_launchers_for_slurm_say_what_to_use(self, launcher, capsys, monkeypatch):
        monkeypatch.setenv("PATH", os.path.dirname(sys.executable))  # noqa: PTH120
        assert main(["train", "-m", "+exp=smoke", "seed=1,2", f"hydra/launcher={launcher}"]) == 2
        told = capsys.readouterr().err
        assert "found no sbatch here" in told
        assert "hydra/launcher=submitit_local or joblib" in told

    def test_a_job_is_one_task_on_one_node(self, capsys):
        words = ["+exp=smoke", "seed=1,2", "hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=4"]
        assert main(["train", "-m", *words]) == 2
        assert "expected nodes=1 and tasks_per_node=1: trainer.num_processes" in capsys.readouterr().err
