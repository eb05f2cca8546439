"""Disks that are full, checkpoints of another stage, and signals that come twice."""

import dataclasses
import errno
import os
import signal
import time

import pytest
import torch
from safetensors import SafetensorError

from ldyn.algorithms import ALGORITHMS, algorithm_parameters
from ldyn.errors import Interrupted, RunDirectoryError, TrainingError
from ldyn.probes.schedule import ScheduleConfig
from ldyn.processes import signals
from ldyn.processes.signals import StopRequest, signals_held_back
from ldyn.records import StageInfo
from ldyn.training.checkpoints import last_complete_checkpoint, snapshot_steps
from ldyn.training.settings import TrainerConfig
from ldyn.training.stage import StageObservers, StagePlan, train_stage

SFT = ALGORITHMS["sft"]
CONFIG = TrainerConfig(learning_rate=1e-3, max_steps=5, batch_size=4, checkpoint_every=2)
PLAN = StagePlan(StageInfo("sft", "sft", "pointwise", ("chosen",), "base"), SFT, algorithm_parameters({"name": "sft"}), CONFIG)  # fmt: skip # noqa: E501


def train(model, tokenizer, pairs, directory, plan=PLAN, probe=lambda model, step: None, seed=0):
    observe = StageObservers(probe, lambda step, row: None, lambda: None)
    return train_stage(
        plan,
        model,
        tokenizer,
        pairs,
        directory=directory,
        seed=seed,
        probe_steps=range(10),
        observe=observe,
        stop=StopRequest(),
    )


def fail_from(step, monkeypatch, function, error):
    """The third argument's function fails once the probe of ``step`` has been scored."""
    original = getattr(*function)

    def probe(model, at):
        if at == step:
            monkeypatch.setattr(*function, lambda *args, **options: (_ for _ in ()).throw(error))

    return probe, lambda: monkeypatch.setattr(*function, original)


NO_ROOM = "No space left on device"


@pytest.fixture(scope="module")
def whole(make_model, tokenizer, pairs, tmp_path_factory):
    """The last weights of the stage where nothing fails."""
    final = train(make_model(), tokenizer, pairs, tmp_path_factory.mktemp("whole"))
    return (final / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ((torch, "save"), OSError(errno.ENOSPC, NO_ROOM)),
        (
            (torch, "save"),
            RuntimeError("[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing"),
        ),
        (("transformers.PreTrainedModel", "save_pretrained"), SafetensorError(f"I/O error: {NO_ROOM} (os error 28)")),
    ],
)
def test_a_full_disk_keeps_the_checkpoint_before(
    function, error, whole, make_model, tokenizer, pairs, tmp_path, monkeypatch
):
    import transformers

    owner = transformers.PreTrainedModel if isinstance(function[0], str) else function[0]
    probe, free_some_room = fail_from(3, monkeypatch, (owner, function[1]), error)
    with pytest.raises(RunDirectoryError, match=r"checkpoint-4.*MiB are free.*ree some s?.*space"):
        train(make_model(), tokenizer, pairs, tmp_path / "full", probe=probe)
    assert last_complete_checkpoint(tmp_path / "full")[1] == 2
    free_some_room()
    resumed = train(make_model(), tokenizer, pairs, tmp_path / "full")
    assert (resumed / "model.safetensors").read_bytes() == whole


def test_another_error_while_saving_stays_what_it_is(make_model, tokenizer, pairs, tmp_path, monkeypatch):
    probe, _ = fail_from(1, monkeypatch, (torch, "save"), RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        train(make_model(), tokenizer, pairs, tmp_path, probe=probe)


class TestResume:
    """Killed in the last of 6 steps, which are an epoch and a half: 13 pairs in batches of 4."""

    PLAN = dataclasses.replace(PLAN, trainer=dataclasses.replace(CONFIG, max_steps=6))

    @pytest.fixture
    def cut(self, make_model, tokenizer, pairs, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr("ldyn.training.trainers.save_final", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                train(make_model(), tokenizer, pairs, tmp_path, plan=self.PLAN)
        return tmp_path

    @pytest.fixture
    def expected(self, make_model, tokenizer, pairs, tmp_path_factory):
        final = train(make_model(), tokenizer, pairs, tmp_path_factory.mktemp("six"), plan=self.PLAN)
        return (final / "model.safetensors").read_bytes()

    def test_from_the_last_step_no_update_is_made(self, cut, expected, make_model, tokenizer, pairs):
        assert last_complete_checkpoint(cut)[1] == 6
        probed = []
        final = train(make_model(), tokenizer, pairs, cut, self.PLAN, probe=lambda model, step: probed.append(step))
        assert (final / "model.safetensors").read_bytes() == expected
        assert probed == []

    @pytest.mark.parametrize("file", ["optimizer.pt", "model.safetensors", "trainer_state.json", "checksums.json"])
    @pytest.mark.parametrize("harm", ["gone", "cut"])
    def test_a_damaged_checkpoint_is_skipped_for_the_one_before(
        self, file, harm, cut, expected, make_model, tokenizer, pairs, caplog
    ):
        damaged = cut / "checkpoint-6" / file
        if harm == "gone":
            damaged.unlink()
        else:
            damaged.write_bytes(damaged.read_bytes()[:-20])
        assert last_complete_checkpoint(cut)[1] == 4
        assert f"checkpoint-6 is not used: {file}" in caplog.text
        final = train(make_model(), tokenizer, pairs, cut, self.PLAN)
        assert (final / "model.safetensors").read_bytes() == expected

    def test_a_snapshot_missed_by_a_kill_is_kept_on_resume(self, make_model, tokenizer, pairs, tmp_path, monkeypatch):
        trainer = dataclasses.replace(self.PLAN.trainer, snapshots=ScheduleConfig(epochs=(0.5, 1.5)))
        plan = dataclasses.replace(self.PLAN, trainer=trainer)
        with monkeypatch.context() as patch:
            patch.setattr("ldyn.training.stage.keep_snapshot", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                train(make_model(), tokenizer, pairs, tmp_path, plan=plan)
        train(make_model(), tokenizer, pairs, tmp_path, plan=plan)
        assert snapshot_steps(tmp_path) == [2, 6]


def _interrupt(*_args, **_options):
    raise KeyboardInterrupt


class TestIdentity:
    @pytest.fixture
    def cut(self, make_model, tokenizer, pairs, tmp_path, monkeypatch):
        probe, undo = fail_from(3, monkeypatch, (torch, "save"), OSError(errno.ENOSPC, NO_ROOM))
        with pytest.raises(RunDirectoryError):
            train(make_model(), tokenizer, pairs, tmp_path, probe=probe)
        undo()
        return tmp_path

    def test_other_settings_are_refused_by_name(self, cut, make_model, tokenizer, pairs):
        other = dataclasses.replace(CONFIG, batch_size=6, learning_rate=1e-4)
        with pytest.raises(TrainingError) as caught:
            train(make_model(), tokenizer, pairs, cut, plan=dataclasses.replace(PLAN, trainer=other), seed=1)
        said = str(caught.value)
        assert f"The checkpoints in {cut} belong to another configuration" in said
        assert "trainer.batch_size: found 6, expected 4" in said
        assert "trainer.learning_rate: found 0.0001, expected 0.001" in said
        assert "seed: found 1, expected 0" in said
        assert len(said.splitlines()) == 5

    def test_so_are_other_pairs(self, cut, make_model, tokenizer, pairs):
        with pytest.raises(TrainingError, match=r"pairs\.number: found 12, expected 13"):
            train(make_model(), tokenizer, pairs[:12], cut)

    def test_a_stage_without_a_checkpoint_begins_anew(self, make_model, tokenizer, pairs, tmp_path):
        (tmp_path / "stage.json").write_text('{"seed": 7}')
        train(make_model(), tokenizer, pairs, tmp_path)
        assert (tmp_path / "final").exists()


class TestSignals:
    def test_the_same_request_seen_twice_is_one(self):
        with StopRequest() as stop:
            stop.graceful = True
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGTERM)
            assert stop.signal_number == signal.SIGTERM

    def test_a_second_request_raises_at_once(self, monkeypatch):
        monkeypatch.setattr(signals, "ECHO_SECONDS", 0.01)
        with StopRequest() as stop:
            stop.graceful = True
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)
            with pytest.raises(Interrupted, match="SIGINT"):
                os.kill(os.getpid(), signal.SIGINT)

    @pytest.mark.parametrize("order", [(signal.SIGTERM, signal.SIGUSR2), (signal.SIGUSR2, signal.SIGTERM)])
    def test_slurm_s_two_signals_are_one_wish_to_be_requeued(self, order, monkeypatch):
        monkeypatch.setattr(signals, "ECHO_SECONDS", 0.01)
        with StopRequest() as stop:
            stop.graceful = True
            for number in order:
                os.kill(os.getpid(), number)
                time.sleep(0.02)
            assert stop.signal_number == signal.SIGUSR2
            assert stop.interrupted().exit_code == 128 + signal.SIGUSR2

    def test_processes_agree_on_the_signal_that_weighs_most(self):
        weights = []
        for number in (None, signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
            stop = StopRequest()
            stop.signal_number = number
            weights.append(stop.weight)
        assert weights == sorted(set(weights))
        stop = StopRequest()
        assert not stop.agree_on(0)
        assert stop.signal_number is None
        assert stop.agree_on(weights[-1])
        assert stop.signal_number == signal.SIGUSR2

    def test_without_grace_the_first_raises(self):
        with StopRequest(), pytest.raises(Interrupted) as caught:
            os.kill(os.getpid(), signal.SIGTERM)
        assert caught.value.exit_code == 143

    def test_they_wait_for_the_end_of_a_block(self):
        done = []

        def write():
            with signals_held_back():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("written")

        with StopRequest(), pytest.raises(Interrupted):
            write()
        assert done == ["written"]
