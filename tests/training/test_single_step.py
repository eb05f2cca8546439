"""One step of the trainer's own optimizer: the step that the stage took, to the bit, and faults of its state."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from ldyn.errors import TrainingError
from ldyn.probes.schedule import ScheduleConfig
from ldyn.training.checkpoints import snapshot_directory, snapshot_steps
from ldyn.training.single_step import take_step

EVERY_STEP = ScheduleConfig(every=1)


@pytest.fixture(scope="module")
def plan(plan_for):
    """Four pairs a step of thirteen: the fourth step of an epoch has one, and an epoch ends within five steps."""
    defaults = {"max_steps": 5, "warmup_steps": 3, "snapshots": EVERY_STEP}
    return lambda algorithm="dpo", **settings: plan_for(algorithm, **defaults | settings)


@pytest.fixture(scope="module")
def finished(train, plan, make_model, tmp_path_factory) -> tuple[Path, PreTrainedModel]:
    """The directory of a stage of DPO and its last weights; a run that was killed had been writing a snapshot of it."""
    directory, model = tmp_path_factory.mktemp("finished"), make_model()
    (directory / "snapshot-2.partial").mkdir()
    (directory / "snapshot-2").mkdir()
    train(plan(), model, directory, seed=7)
    return directory, model


def step(stage, model: PreTrainedModel, tokenizer, pairs, directory: Path, snapshot: Path | None, **options):
    return take_step(
        stage,
        model,
        tokenizer,
        pairs,
        scratch=directory / "scratch",
        seed=7,
        snapshot=snapshot,
        planned_steps=5,
        **options,
    )


def weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize("settings", [
    {"optimizer": "adamw", "weight_decay": 0.1, "gradient_accumulation": 2},
    {"optimizer": "rmsprop", "algorithm": "sft"}, {"optimizer": "sgd", "algorithm": "dpo_shift_linear"},
])  # fmt: skip
def test_a_step_from_a_snapshot_is_the_step_that_the_stage_took(
    settings, train, plan, make_model, tokenizer, pairs, tmp_path
):
    stage, directory = plan(**settings), tmp_path / "s"
    train(stage, make_model(), directory, seed=7)
    assert snapshot_steps(directory) == [1, 2, 3, 4, 5]
    after = {
        number: weights(AutoModelForCausalLM.from_pretrained(snapshot_directory(directory, number)))
        for number in range(1, 6)
    }
    after[0] = weights(make_model())
    for number in (0, 1, 3, 4):
        model = make_model()
        taken = step(
            stage, model, tokenizer, pairs, tmp_path, snapshot_directory(directory, number) if number else None
        )
        assert taken.step == number
        assert taken.learning_rate == pytest.approx(1e-3 * min(1, number / 3))
        assert 1 <= len(taken.micro_batches) <= stage.trainer.gradient_accumulation  # fewer at an epoch's end
        assert sum(batch.n_rows for batch in taken.micro_batches) == (1 if number == 3 else 4)
        for name, weight in model.named_parameters():
            assert torch.equal(weight, after[number][name])
            assert torch.equal(taken.delta[name], after[number + 1][name] - after[number][name])
    assert not (tmp_path / "scratch").exists() or not list((tmp_path / "scratch").glob("checkpoint-*"))


def test_snapshots_do_not_change_the_training(finished, train, plan, make_model, tmp_path):
    _, with_snapshots = finished
    without = make_model()
    train(plan(snapshots=None), without, tmp_path, seed=7)
    assert all(torch.equal(a, b) for a, b in zip(with_snapshots.parameters(), without.parameters(), strict=True))
    assert snapshot_steps(tmp_path) == []


def test_a_step_on_pairs_of_ones_own_choice(finished, plan, make_model, tokenizer, pairs, tmp_path):
    """The next batch of the stage is another one; the optimizer's state and the reference are those of the run."""
    snapshot = snapshot_directory(finished[0], 4)
    taken = step(plan(), make_model(), tokenizer, pairs[5:7], tmp_path, snapshot, in_order=False)
    trained = {response for _, response in taken.micro_batches[0].sequences}
    assert trained == {ids for pair in pairs[5:7] for ids in (pair.chosen_ids, pair.rejected_ids)}


def test_state_of_another_optimizer_is_refused(finished, plan, make_model, tokenizer, pairs, tmp_path):
    other = plan(optimizer="rmsprop")
    with pytest.raises(TrainingError, match=r"holds exp_avg, exp_avg_sq, expected square_avg, as rmsprop keeps it"):
        step(other, make_model(), tokenizer, pairs, tmp_path, snapshot_directory(finished[0], 2))


def test_an_incomplete_snapshot_is_refused(finished, plan, make_model, tokenizer, pairs, tmp_path):
    snapshot = shutil.copytree(snapshot_directory(finished[0], 2), tmp_path / "snapshot-2")
    (snapshot / "optimizer.pt").unlink()
    with pytest.raises(TrainingError, match=r"no complete snapshot, expected optimizer\.pt"):
        step(plan(), make_model(), tokenizer, pairs, tmp_path, snapshot)


def test_a_gradient_that_is_not_finite_is_refused(plan, make_model, tokenizer, pairs, tmp_path, monkeypatch):
    """A loss may be finite where its gradient is not: √0 has slope ∞."""

    def edgy(chosen, rejected, *, beta):
        return (beta * (chosen.log_ratio - rejected.log_ratio)).abs().sqrt()

    stage = plan()
    with pytest.raises(TrainingError, match=r"In the batch after step 0 the dpo gradient norm is nan"):
        step(
            replace(stage, algorithm=replace(stage.algorithm, loss=edgy)),
            make_model(),
            tokenizer,
            pairs,
            tmp_path,
            None,
        )


def test_a_killed_run_replaces_the_snapshot_it_was_writing(finished):
    directory, _ = finished
    assert json.loads((directory / "snapshot-2" / "trainer_state.json").read_text())["global_step"] == 2
    assert not list(directory.glob("*.partial"))
