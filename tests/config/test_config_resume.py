"""`resume=<run>` goes on with the stored configuration and refuses to change it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import DictConfig

from ldyn.cli.hydra_jobs import composed_settings
from ldyn.config.jobs import job_config, settle_resume
from ldyn.config.loading import config_to_yaml
from ldyn.config.schema import RunConfig
from ldyn.errors import ConfigError, RunDirectoryError
from ldyn.processes import launcher

EXPERIMENTS = ["dpo_squeeze", "extend"]


def composed(*overrides: str) -> DictConfig:
    return composed_settings("train", list(overrides))


def job(*overrides: str) -> RunConfig:
    return job_config(composed(*overrides), overrides, EXPERIMENTS)


@pytest.fixture
def stored(tmp_path: Path) -> RunConfig:
    """The configuration of a run that was stopped, in its directory ``<tmp>/one.partial``."""
    config = job("+exp=dpo_squeeze", "seed=3", "run=one", f"paths.run={tmp_path / 'one'}")
    (tmp_path / "one.partial").mkdir()
    (tmp_path / "one.partial" / "config.yaml").write_text(config_to_yaml(config), encoding="utf-8")
    return config


@pytest.mark.parametrize("name", ["one", "one.partial"])
def test_the_stored_configuration_runs(stored: RunConfig, tmp_path: Path, name: str) -> None:
    config = job(f"resume={tmp_path / name}")
    assert config.resume == tmp_path / "one.partial"
    assert config.paths.run == tmp_path / "one"
    assert (config.seed, config.run, config.stages) == (3, "one", stored.stages)


def counts(config: RunConfig) -> set[int | None]:
    return {trainer.num_processes for trainer in (config.trainer, *(stage.trainer for stage in config.stages.values()))}


class TestProcesses:
    """How many there are is settled before the run begins, and stored with it."""

    @pytest.fixture(autouse=True)
    def _machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(launcher, "usable_cores", lambda: 4)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 0)

    def test_one_unless_something_else_is_said(self) -> None:
        assert counts(job("+exp=dpo_squeeze")) == {1}
        assert counts(job("+exp=dpo_squeeze", "trainer.num_processes=4")) == {4}
        assert counts(job("+exp=dpo_squeeze", "trainer=ddp")) == {2}

    def test_a_launcher_decides_where_nothing_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "4")
        assert counts(job("+exp=dpo_squeeze")) == {4}
        with pytest.raises(ConfigError, match=r"found 2, but the launcher has started 4"):
            job("+exp=dpo_squeeze", "trainer.num_processes=2")
        with pytest.raises(ConfigError, match=r"found 1, but the launcher has started 4"):
            job("+exp=dpo_squeeze", "trainer.num_processes=1")

    @pytest.mark.parametrize(
        ("overrides", "fault"),
        [
            (["trainer.num_processes=8"], "found 8, expected at most 4, the CPU cores"),
            (["trainer.num_processes=3"], "batch_size: found 8, expected a multiple of num_processes=3"),
            (["trainer=fsdp"], "parallel: found fsdp, but torch sees no GPU here"),
            (["trainer=fsdp", "trainer.lora={rank:4}"], "lora: found adapters with parallel=fsdp"),
        ],
    )
    def test_what_cannot_be_is_refused(self, overrides: list[str], fault: str) -> None:
        with pytest.raises(ConfigError, match=re.escape(fault)):
            job("+exp=dpo_squeeze", *overrides)

    def test_a_stored_run_keeps_its_number(self, stored: RunConfig, tmp_path: Path) -> None:
        two = job("+exp=dpo_squeeze", "seed=3", "run=one", f"paths.run={tmp_path / 'one'}", "trainer.num_processes=2")
        (tmp_path / "one.partial" / "config.yaml").write_text(config_to_yaml(two), encoding="utf-8")
        again = [f"resume={tmp_path / 'one'}"]
        assert counts(job(*again)) == {2}
        assert counts(job("+exp=dpo_squeeze", "seed=3", *again)) == {2}  # nothing said of it: as stored
        with pytest.raises(ConfigError, match=r"num_processes: found 4, expected 2 as in the stored run"):
            job("+exp=dpo_squeeze", "seed=3", "trainer.num_processes=4", *again)


@pytest.mark.usefixtures("stored")
def test_the_tracker_may_be_another_and_the_report_left_out(tmp_path: Path) -> None:
    config = job(f"resume={tmp_path / 'one'}", "logger=none")
    assert (config.logger.kind, config.seed) == ("none", 3)
    assert config.report is True
    assert job(f"resume={tmp_path / 'one'}", "report=false").report is False


def test_another_mode_of_the_tracker_keeps_the_name_of_the_run(tmp_path: Path) -> None:
    named = ["logger.group=sweep", "logger.run_name=seed\\=3", "logger.tags=[old]"]
    config = job("+exp=dpo_squeeze", f"paths.run={tmp_path / 'one'}", *named)
    (tmp_path / "one.partial").mkdir()
    (tmp_path / "one.partial" / "config.yaml").write_text(config_to_yaml(config), encoding="utf-8")
    again = job(f"resume={tmp_path / 'one'}", "logger.mode=disabled").logger
    assert (again.group, again.run_name, again.mode, again.tags) == ("sweep", "seed=3", "disabled", ())
    assert job(f"resume={tmp_path / 'one'}", "logger.mode=disabled", "logger.group=other").logger.group == "other"


@pytest.mark.parametrize(("key", "found"), [("", "no key"), ("short", "an invalid key")])
def test_online_without_a_key_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, found: str
) -> None:
    monkeypatch.setattr(launcher, "usable_cores", lambda: 4)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for variable in ("WANDB_SILENT", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(variable, "true")
    with pytest.raises(ConfigError) as caught:
        job("+exp=dpo_squeeze", "logger.mode=online", "trainer.num_processes=8")
    processes, tracker = caught.value.faults
    assert processes.startswith("trainer.num_processes: found 8")
    assert tracker.startswith(f"logger.mode: found online and {found}")
    assert "`wandb login`" in tracker
    assert not key or key not in tracker
    assert job("+exp=dpo_squeeze", "logger.mode=offline").logger.mode == "offline"


@pytest.mark.usefixtures("stored")
def test_what_differs_is_listed(tmp_path: Path) -> None:
    overrides = ["+exp=dpo_squeeze", "algorithm.beta=0.2", "sft.max_steps=7"]
    with pytest.raises(ConfigError) as caught:
        job(*overrides, f"resume={tmp_path / 'one'}")
    assert [fault.split(",")[0] for fault in caught.value.faults] == [
        "seed: found 0",
        "stages.sft.trainer.max_steps: found 7",
        "stages.dpo.algorithm.beta: found 0.2",
    ]
    assert "expected 0.1 as in the stored run" in caught.value.faults[2]


@pytest.mark.usefixtures("stored")
def test_a_single_setting_without_the_experiment_is_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"algorithm\.beta=0\.2: cannot change a stored run"):
        job("algorithm.beta=0.2", f"resume={tmp_path / 'one'}")


class TestByName:
    """`resume=auto`, and a job that SLURM has started again: the run is found by its name."""

    def settle(self, tmp_path: Path, *overrides: str) -> tuple[Path | None, str | None]:
        words = ["+exp=dpo_squeeze", "seed=3", f"paths.run={tmp_path / 'one'}", *overrides]
        config = composed(*words)
        finished = settle_resume(config, words)
        return finished, config.resume

    def test_a_new_one_begins(self, tmp_path: Path) -> None:
        assert self.settle(tmp_path, "resume=auto") == (None, None)

    @pytest.mark.usefixtures("stored")
    def test_one_that_has_begun_goes_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.settle(tmp_path, "resume=auto") == (None, str(tmp_path / "one.partial"))
        assert self.settle(tmp_path) == (None, None)
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        assert self.settle(tmp_path) == (None, str(tmp_path / "one.partial"))

    @pytest.mark.usefixtures("stored")
    def test_one_that_has_finished_is_done(self, tmp_path: Path) -> None:
        (tmp_path / "one.partial").rename(tmp_path / "one")
        assert self.settle(tmp_path, "resume=auto") == (tmp_path / "one", None)
        with pytest.raises(ConfigError, match=r"seed: found 4, expected 3 as in the stored run"):
            self.settle(tmp_path, "resume=auto", "seed=4")


def test_a_directory_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"found no config\.yaml in"):
        job(f"resume={tmp_path / 'nothing'}")


def test_a_run_needs_an_experiment() -> None:
    with pytest.raises(
        ConfigError, match=r"found no experiment, expected \+exp=<name> with one of: dpo_squeeze, extend"
    ):
        job("seed=3")


def test_a_setting_that_reaches_no_stage_is_refused() -> None:
    own = ["++stages.sft.trainer.batch_size=4", "++stages.dpo.trainer.batch_size=4"]
    with pytest.raises(ConfigError, match=r"expected stages\.sft\.trainer\.batch_size= stages\.dpo\.trainer"):
        job("+exp=dpo_squeeze", "trainer.batch_size=2", *own)


def test_the_trainer_is_for_every_stage_and_a_role_for_its_own() -> None:
    def trainers(*overrides: str) -> list[tuple[float, int | None, float | None, int]]:
        stages = job("+exp=sft_length", *overrides).stages.values()
        return [(t.learning_rate, t.max_steps, t.epochs, t.batch_size) for t in (stage.trainer for stage in stages)]

    sft, dpo = (2e-4, 480, None, 8), (2e-5, 400, None, 8)
    assert trainers() == [sft, dpo, (2e-4, 120, None, 8), dpo, (2e-4, 1920, None, 8), dpo]
    assert {one[0] for one in trainers("trainer.learning_rate=1e-5")} == {1e-5}
    assert [one[1] for one in trainers("trainer.max_steps=20")] == [20, 20, 5, 20, 80, 20]
    assert [one[1:3] for one in trainers("trainer.epochs=2")][:3] == [(None, 2.0), (None, 2.0), (None, 0.5)]
    assert [one[0] for one in trainers("preference.learning_rate=1e-6")] == [2e-4, 1e-6] * 3
    assert [one[3] for one in trainers("trainer.batch_size=4", "sft.batch_size=2")] == [2, 4] * 3
