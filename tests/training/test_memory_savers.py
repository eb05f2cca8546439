"""What saves memory: accumulation, checkpointing, bf16 and LoRA, each against plain training."""

import json
from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, OPTConfig, Qwen2Config

from ldyn.errors import Interrupted, ModelError, TrainingError
from ldyn.probes.scorer import score_probes
from ldyn.processes.signals import StopRequest
from ldyn.records import EncodedProbeExample
from ldyn.training.adapters import with_adapters
from ldyn.training.logps import token_logps
from ldyn.training.reference import reference_logps
from ldyn.training.settings import LoraConfig
from ldyn.training.stage import make_trainer
from ldyn.training.trainers import rounding

LORA = LoraConfig(rank=4, alpha=8)
PLAIN = {"max_steps": 4, "batch_size": 8, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def trained(train, plan_for):
    """``trained(name, model, directory, **settings)``: losses by step, and the directory of the final weights."""
    return lambda name, model, directory, **settings: train(plan_for(name, **PLAIN | settings), model, directory)


@pytest.fixture(scope="module")
def plain(trained, make_model, tmp_path_factory):
    """``plain(name)``: losses and final weights of training without any of it, done once for each name."""
    return cache(lambda name: trained(name, make_model(), tmp_path_factory.mktemp(name)))


def weights(final):
    return load_file(final / "model.safetensors")


def assert_same_training(one, other, rtol=1e-4, atol=1e-5):
    assert one[0] == pytest.approx(other[0], rel=rtol)
    first, second = weights(one[1]), weights(other[1])
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", ["sft", "sft_token_mean", "dpo"])
def test_two_parts_of_four_are_a_batch_of_eight(name, trained, plain, make_model, tmp_path):
    """13 pairs: the second update of an epoch has five rows, in parts of four and one."""
    parts = trained(name, make_model(), tmp_path, gradient_accumulation=2)
    assert_same_training(plain(name), parts)


def test_gradient_checkpointing_changes_nothing(trained, plain, make_model, tmp_path):
    model = make_model()
    saving = trained("dpo", model, tmp_path, gradient_checkpointing=True)
    assert_same_training(plain("dpo"), saving, rtol=1e-6, atol=1e-7)
    assert model.is_activation_checkpointing


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_bf16_is_near_fp32_and_keeps_fp32_weights(name, trained, plain, make_model, tmp_path):
    rough = trained(name, make_model(), tmp_path, precision="bf16")
    assert rough[0] == pytest.approx(plain(name)[0], rel=2e-2)
    assert rough[0] != plain(name)[0]
    assert {value.dtype for value in weights(rough[1]).values()} == {torch.float32}


class TestLora:
    @pytest.mark.parametrize("name", ["sft", "dpo"])
    def test_only_the_adapted_layers_move_and_plain_weights_are_saved(self, name, trained, make_model, tmp_path):
        start = make_model().state_dict()
        losses, final = trained(name, make_model(), tmp_path, learning_rate=1e-2, lora=LORA)
        assert losses[-1] < losses[0]
        after = type(make_model()).from_pretrained(final).state_dict()
        moved = {key for key, value in after.items() if not torch.equal(value, start[key])}
        assert moved == {f"gpt_neox.layers.{layer}.attention.query_key_value.weight" for layer in (0, 1)}
        change = after["gpt_neox.layers.0.attention.query_key_value.weight"] - start[min(moved)]
        assert torch.linalg.matrix_rank(change, rtol=1e-4) <= LORA.rank

    def test_the_merged_model_is_the_one_that_was_trained(self, plan_for, make_model, tokenizer, pairs, tmp_path):
        """W + alpha / rank · B A, by hand from the adapters of the last checkpoint."""
        plan = plan_for("sft", lora=LORA, learning_rate=1e-2, max_steps=4)
        trainer = make_trainer(plan, make_model(), tokenizer, pairs, directory=tmp_path, seed=0)
        trainer.train()
        adapters = load_file(tmp_path / "checkpoint-4" / "adapter_model.safetensors")
        layer = "gpt_neox.layers.1.attention.query_key_value"
        a, b = (adapters[f"base_model.model.{layer}.lora_{side}.weight"] for side in "AB")
        expected = make_model().state_dict()[f"{layer}.weight"] + 8 / 4 * b @ a
        final = type(make_model()).from_pretrained(trainer.save_final(tokenizer))
        torch.testing.assert_close(final.state_dict()[f"{layer}.weight"], expected)

    def test_a_stopped_stage_resumes_to_the_same_weights(self, train, plan_for, make_model, tmp_path):
        plan, stop = plan_for("dpo", **PLAIN, lora=LORA), StopRequest()

        def probe(model, step):
            stop.signal_number = 15 if step == 3 else None

        whole = train(plan, make_model(), tmp_path / "whole")
        with pytest.raises(Interrupted):
            train(plan, make_model(), tmp_path / "cut", probe=probe, stop=stop)
        checkpoint = tmp_path / "cut" / "checkpoint-3"
        assert json.loads((checkpoint / "trainer_state.json").read_text())["global_step"] == 3
        assert not (checkpoint / "model.safetensors").exists()  # the frozen weights are not stored again
        resumed = train(plan, make_model(), tmp_path / "cut")
        assert resumed[0] == whole[0][3:]
        for name, value in weights(whole[1]).items():
            assert torch.equal(value, weights(resumed[1])[name])

    def test_layers_can_be_named_and_unknown_ones_are_listed(self, make_model):
        named = LoraConfig(target_modules=("dense_h_to_4h",))
        model = with_adapters(make_model(), named)
        assert {name.split(".")[-4] for name, _ in model.named_parameters() if "lora_A" in name} == {"dense_h_to_4h"}
        with pytest.raises(ModelError, match=r"lora\.target_modules: .*q_proj.*dense_4h_to_h.*query_key_value"):
            with_adapters(make_model(), LoraConfig(target_modules=("q_proj",)))


SMALL = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
DROPOUT = [
    GPT2Config(vocab_size=40, n_embd=16, n_head=2, n_layer=1, n_positions=32),
    GPTNeoXConfig(**SMALL, attention_dropout=0.5, hidden_dropout=0.5),
    LlamaConfig(**SMALL, attention_dropout=0.5),
    Qwen2Config(**SMALL, num_key_value_heads=2, attention_dropout=0.5),
    OPTConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, ffn_dim=32, num_attention_heads=2, word_embed_proj_dim=16,
        max_position_embeddings=64, layerdrop=0.5,
    ),
]  # fmt: skip


@pytest.mark.parametrize("config", DROPOUT, ids=lambda config: config.model_type)
def test_dropout_is_off_in_every_architecture(config, plan_for, tokenizer, pairs, tmp_path):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)  # large enough that dropout shows
    trainer = make_trainer(plan_for("dpo"), model, tokenizer, pairs, directory=tmp_path, seed=0)
    trainer.model.train()
    batch = next(iter(trainer.get_train_dataloader()))
    part = batch["parts"][0]
    first, second = (token_logps(trainer.model, part["packed"]).sums for _ in range(2))
    assert torch.equal(first, second)
    trainer.train()


def test_randomness_that_cannot_be_turned_off_is_refused(trained, make_model, tmp_path):
    model = make_model()
    model.gpt_neox.layers[0].register_forward_hook(lambda module, _, output: torch.nn.functional.dropout(output, 0.5))
    with pytest.raises(TrainingError, match="Two passes over the first batch differ by"):
        trained("sft", model, tmp_path)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_reference_that_is_wrong_by_two_nats_is_refused(
    precision, plan_for, make_model, tokenizer, pairs, tmp_path, monkeypatch
):
    def wrong(*args, **options):
        return reference_logps(*args, **options) + 2

    monkeypatch.setattr("ldyn.training.stage.reference_logps", wrong)
    plan = plan_for("dpo", precision=precision)
    trainer = make_trainer(plan, make_model(), tokenizer, pairs, directory=tmp_path, seed=0)
    with pytest.raises(TrainingError, match=r"differs from its reference by 2\.?\d* nats"):
        trainer.train()
    allowed = rounding(torch.tensor([-74.0]), torch.tensor([20]), bf16=precision == "bf16")
    assert allowed.item() < 0.6


@pytest.mark.parametrize("known_head", [True, False])
def test_a_bf16_stage_is_scored_in_the_precision_of_the_weights(
    known_head, plan_for, make_model, tokenizer, pairs, tmp_path
):
    example = EncodedProbeExample("train", "one", pairs[0].prompt_ids, {"chosen": pairs[0].chosen_ids})
    model = make_model()
    model.config.model_type = "gpt_neox" if known_head else "unknown"
    plain = score_probes(make_model(), [example], token_budget=64, pad_id=1)
    trainer = make_trainer(plan_for("sft", precision="bf16"), model, tokenizer, pairs, directory=tmp_path, seed=0)
    prepared = trainer.accelerator.prepare(trainer.model)
    patched = prepared.forward
    scored = score_probes(prepared, [example], token_budget=64, pad_id=1)
    assert scored[0].logp == pytest.approx(plain[0].logp, rel=1e-6)
    assert prepared.forward == patched
