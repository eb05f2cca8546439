"""Disks that are full, checkpoints that are damaged, processes that are killed while they save."""

import errno
import shutil

import pytest
import torch
from safetensors import SafetensorError

from ldyn.errors import RunDirectoryError
from ldyn.probes.schedule import ScheduleConfig
from ldyn.training.checkpoints import last_complete_checkpoint, snapshot_steps

SETTINGS = {"max_steps": 5, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def plan(plan_for):
    return plan_for("sft", **SETTINGS)


def fail_from(step, monkeypatch, function, error):
    """The third argument's function fails once the probe of ``step`` has been scored."""
    original = getattr(*function)

    def probe(model, at):
        if at == step:
            monkeypatch.setattr(*function, lambda *args, **options: (_ for _ in ()).throw(error))

    return probe, lambda: monkeypatch.setattr(*function, original)


NO_ROOM = "No space left on device"


@pytest.fixture(scope="module")
def whole(train, plan, make_model, tmp_path_factory):
    """The last weights of the stage where nothing fails."""
    _, final = train(plan, make_model(), tmp_path_factory.mktemp("whole"))
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
    function, error, whole, train, plan, make_model, tmp_path, monkeypatch
):
    import transformers

    owner = transformers.PreTrainedModel if isinstance(function[0], str) else function[0]
    probe, free_some_room = fail_from(3, monkeypatch, (owner, function[1]), error)
    with pytest.raises(RunDirectoryError, match=r"checkpoint-4.*MiB are free.*ree some s?.*space"):
        train(plan, make_model(), tmp_path / "full", probe=probe)
    assert last_complete_checkpoint(tmp_path / "full")[1] == 2
    free_some_room()
    _, resumed = train(plan, make_model(), tmp_path / "full")
    assert (resumed / "model.safetensors").read_bytes() == whole


def test_another_error_while_saving_stays_what_it_is(train, plan, make_model, tmp_path, monkeypatch):
    probe, _ = fail_from(1, monkeypatch, (torch, "save"), RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        train(plan, make_model(), tmp_path, probe=probe)


class TestResume:
    """Killed in the last of 6 steps, which are an epoch and a half: 13 pairs in batches of 4."""

    @pytest.fixture(scope="class")
    def plan(self, plan_for):
        return plan_for("sft", max_steps=6, checkpoint_every=2)

    @pytest.fixture(scope="class")
    def expected(self, train, plan, make_model, tmp_path_factory):
        _, final = train(plan, make_model(), tmp_path_factory.mktemp("six"))
        return (final / "model.safetensors").read_bytes()

    @pytest.fixture(scope="class")
    def killed(self, train, plan, make_model, tmp_path_factory):
        directory = tmp_path_factory.mktemp("killed")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ldyn.training.stage_trainer.save_final", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                train(plan, make_model(), directory)
        return directory

    @pytest.fixture
    def cut(self, killed, tmp_path):
        return shutil.copytree(killed, tmp_path / "cut")

    def test_from_the_last_step_no_update_is_made(self, cut, expected, train, plan, make_model):
        assert last_complete_checkpoint(cut)[1] == 6
        probed = []
        _, final = train(plan, make_model(), cut, probe=lambda model, step: probed.append(step))
        assert (final / "model.safetensors").read_bytes() == expected
        assert probed == []

    @pytest.mark.parametrize("file", ["optimizer.pt", "model.safetensors", "trainer_state.json", "checksums.json"])
    def test_a_damaged_checkpoint_is_skipped(self, file, cut, caplog):
        damaged = cut / "checkpoint-6" / file
        damaged.write_bytes(damaged.read_bytes()[:-20])
        assert last_complete_checkpoint(cut)[1] == 4
        damaged.unlink()
        assert last_complete_checkpoint(cut)[1] == 4
        assert caplog.text.count(f"checkpoint-6 is not used: {file}") == 2

    def test_the_stage_resumes_from_the_intact_one_before(self, cut, expected, train, plan, make_model):
        (cut / "checkpoint-6" / "optimizer.pt").unlink()
        _, final = train(plan, make_model(), cut)
        assert (final / "model.safetensors").read_bytes() == expected

    def test_a_snapshot_missed_by_a_kill_is_kept_on_resume(self, train, plan_for, make_model, tmp_path, monkeypatch):
        plan = plan_for("sft", max_steps=6, checkpoint_every=2, snapshots=ScheduleConfig(epochs=(0.5, 1.5)))
        with monkeypatch.context() as patch:
            patch.setattr("ldyn.training.checkpoints.keep_snapshot", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                train(plan, make_model(), tmp_path)
        train(plan, make_model(), tmp_path)
        assert snapshot_steps(tmp_path) == [2, 6]


def _interrupt(*_args, **_options):
    raise KeyboardInterrupt
