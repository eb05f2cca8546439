"""Stages on tiny models: what a stage learns, that observing changes nothing, that a stopped stage resumes exactly."""

import math
import signal
from functools import cache

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from ldyn.errors import Interrupted, ModelError, TrainingError
from ldyn.processes.signals import StopRequest
from ldyn.training.arguments import common_arguments
from ldyn.training.checkpoints import last_complete_checkpoint
from ldyn.training.plan import StageLength
from ldyn.training.stage import make_trainer


def weights(model) -> torch.Tensor:
    return torch.cat([value.flatten() for _, value in sorted(model.state_dict().items())])


@pytest.fixture(scope="module")
def quiet(train, plan_for, make_model, tmp_path_factory):
    """``quiet(name)``: the model, the losses and the final directory of a stage that is never probed; trained once."""

    def trained(name):
        model = make_model()
        return model, *train(plan_for(name), model, tmp_path_factory.mktemp(name))

    return cache(trained)


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_forward_passes_between_updates_leave_the_weights_bit_identical(
    name, quiet, train, plan_for, make_model, tmp_path
):
    watched = make_model()
    train(plan_for(name), watched, tmp_path, probe=lambda model, step: model(torch.ones(1, 3).long()))
    assert torch.equal(weights(quiet(name)[0]), weights(watched))


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_a_stopped_stage_resumes_to_the_uninterrupted_weights_and_log(
    name, quiet, train, plan_for, make_model, tmp_path
):
    whole, losses, _ = quiet(name)
    stop, probed = StopRequest(), []

    def probe(model, step):
        probed.append(step)
        stop.signal_number = signal.SIGTERM if step == 5 else None

    with pytest.raises(Interrupted) as caught:
        train(plan_for(name), make_model(), tmp_path, probe=probe, stop=stop)
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert probed == list(range(6))  # the step after which the signal came is the last
    assert last_complete_checkpoint(tmp_path)[1] == 5

    resumed = make_model()
    rest, _ = train(plan_for(name), resumed, tmp_path, probe=lambda model, step: probed.append(step))
    assert probed == list(range(10))
    assert rest == losses[5:]
    assert torch.equal(weights(whole), weights(resumed))


def test_an_incomplete_checkpoint_is_skipped(quiet, train, plan_for, make_model, tmp_path):
    resumed = make_model()
    half = tmp_path / "checkpoint-8"
    half.mkdir(parents=True)
    (half / "trainer_state.json").write_text('{"global_st')
    train(plan_for("sft"), resumed, tmp_path)
    assert torch.equal(weights(quiet("sft")[0]), weights(resumed))


def test_final_weights_reload_bit_identically(quiet):
    model, _, final = quiet("sft")
    assert torch.equal(weights(model), weights(type(model).from_pretrained(final)))
    assert [path.name for path in final.parent.glob("checkpoint-*")] == []


@pytest.mark.parametrize("accumulation", [1, 2])
def test_token_mean_sft_is_trls_own_loss(accumulation, plan_for, make_model, tokenizer, pairs, tmp_path):
    plan = plan_for("sft_token_mean", max_steps=4, batch_size=6, gradient_accumulation=accumulation)
    ours = make_trainer(plan, make_model(), tokenizer, pairs[:12], directory=tmp_path, seed=0)
    arguments = SFTConfig(**common_arguments(plan.trainer, tmp_path, 0), dataset_kwargs={"skip_prepare_dataset": True})
    theirs = SFTTrainer(make_model(), args=arguments, train_dataset=ours.train_dataset, processing_class=tokenizer)
    ours.train(), theirs.train()
    torch.testing.assert_close(weights(ours.model), weights(theirs.model), rtol=1e-4, atol=1e-5)
    for mine, trl in zip(_losses(ours), _losses(theirs), strict=True):
        assert mine == pytest.approx(trl, rel=1e-4)


def test_dpo_is_trls_own_loss(plan_for, make_model, tokenizer, pairs, tmp_path):
    ours = make_trainer(plan_for("dpo"), make_model(), tokenizer, pairs, directory=tmp_path, seed=0)

    class Tokenised(DPOTrainer):
        def _prepare_dataset(self, dataset, *args, **kwargs):
            return dataset

    rows = Dataset.from_list(
        [{key: row[key] for key in ("prompt_ids", "chosen_ids", "rejected_ids")} for row in ours.train_dataset]
    )
    arguments = DPOConfig(**common_arguments(plan_for("dpo").trainer, tmp_path, 0), beta=0.1)
    theirs = Tokenised(
        make_model(), ref_model=make_model(), args=arguments, train_dataset=rows, processing_class=tokenizer
    )
    ours.train(), theirs.train()
    assert _losses(ours)[0] == pytest.approx(math.log(2), abs=1e-6)
    for mine, trl in zip(_losses(ours), _losses(theirs), strict=True):
        assert mine == pytest.approx(trl, rel=1e-4)


def _losses(trainer) -> list[float]:
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def test_summed_sft_is_minus_logp(plan_for, make_model, tokenizer, pairs, tmp_path):
    model = make_model()
    trainer = make_trainer(plan_for("sft"), model, tokenizer, pairs[:2], directory=tmp_path, seed=0)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(2)])
    loss = trainer.compute_loss(model, batch["parts"][0])
    by_hand = []
    for pair in pairs[:2]:
        ids = torch.tensor([[*pair.prompt_ids, *pair.chosen_ids]])
        table = torch.log_softmax(model(ids).logits[0].double(), -1)
        start = len(pair.prompt_ids)
        by_hand.append(-sum(table[start - 1 + i, token].item() for i, token in enumerate(pair.chosen_ids)))
    assert loss.item() == pytest.approx(sum(by_hand) / 2, rel=1e-5)


@pytest.mark.parametrize(("name", "dtype"), [("sft", torch.float16), ("dpo", torch.bfloat16)])
def test_weights_of_16_bits_are_refused(name, dtype, plan_for, make_model, tokenizer, pairs, tmp_path):
    """At 5e-7, 0.9 % of bfloat16 weights moved in a step; float16 gave NaN after one."""
    plan = plan_for(name, precision="bf16")
    with pytest.raises(ModelError, match=rf"Found {str(dtype)[6:]} weights .*expected float32.*trainer.precision=bf16"):
        make_trainer(plan, make_model().to(dtype), tokenizer, pairs, directory=tmp_path, seed=0)


def test_a_loss_that_is_not_finite_stops_the_stage_with_the_step(train, plan_for, make_model, tmp_path):
    model = make_model()
    with torch.no_grad():
        model.gpt_neox.embed_in.weight[:] = float("nan")
    with pytest.raises(TrainingError, match=r"after step 0.*nan.*expected a finite number"):
        train(plan_for("sft"), model, tmp_path)


def test_probe_steps_count_examples_exactly(plan_for):
    length = StageLength.of(plan_for("sft", ("chosen", "rejected")), pairs=13)
    assert (length.examples, length.examples_per_step, length.total_steps) == (26, 4, 9)
    info = plan_for("sft").info
    assert length.probe_step(info, 0).examples_seen == 0
    assert length.probe_step(info, 6).examples_seen == 24
    assert length.probe_step(info, 7).examples_seen == 26  # the last batch of the epoch holds the 2 that are left
    assert length.probe_step(info, 9).examples_seen == 26 + 8
    assert length.probe_step(info, 7).epoch == 1.0


def test_a_fractional_number_of_epochs_gives_the_trainers_number_of_steps(
    plan_for, make_model, tokenizer, pairs, tmp_path
):
    plan = plan_for("sft", epochs=1.5)
    trainer = make_trainer(plan, make_model(), tokenizer, pairs, directory=tmp_path, seed=0)
    trainer.train()
    assert trainer.state.global_step == StageLength.of(plan, len(pairs)).total_steps
