"""Predictions: forward mode against gradients against the change itself, in parts and as a whole."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    OPTConfig,
    PreTrainedModel,
    Qwen2Config,
)

from ldyn.errors import ModelError, TrainingError
from ldyn.theory.prediction import logps_at, model_parts, predicted_changes, split_changes
from ldyn.theory.responses import Response, make_batch, token_logps, weights_of

PARTS = {"embeddings", "layer 1", "layer 2", "final norm", "unembedding"}
BUDGET = 40  # two or three responses a batch
SMALL = {
    "vocab_size": 23, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 32, "pad_token_id": 0,
}  # fmt: skip
ARCHITECTURES = {
    "gpt_neox": GPTNeoXConfig(**SMALL),
    "qwen2, tied": Qwen2Config(**SMALL, num_key_value_heads=1, tie_word_embeddings=True),
    "gpt2": GPT2Config(vocab_size=23, n_embd=16, n_layer=2, n_head=2, n_positions=32),
    "gemma2, softcapped": Gemma2Config(
        **SMALL, num_key_value_heads=1, head_dim=8, final_logit_softcapping=5.0, attn_implementation="eager"
    ),
    "opt": OPTConfig(
        vocab_size=23, hidden_size=16, ffn_dim=32, num_hidden_layers=2, num_attention_heads=2, word_embed_proj_dim=16,
        max_position_embeddings=32, pad_token_id=0,
    ),
}  # fmt: skip


def random_delta(model: PreTrainedModel, size: float = 1e-4) -> dict[str, torch.Tensor]:
    """A random update; both names of one tensor get the same change."""
    generator = torch.Generator().manual_seed(0)
    changes: dict[int, torch.Tensor] = {}
    delta = {}
    for name, weight in weights_of(model).items():
        if weight.data_ptr() not in changes:
            changes[weight.data_ptr()] = size * torch.randn(weight.shape, generator=generator).to(weight)
        delta[name] = changes[weight.data_ptr()]
    return delta


def sums(changes: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([change.sum() for change in changes]).double()


def test_forward_mode_is_the_slope_of_the_change(model, observed):
    delta = random_delta(model)
    ahead, behind = (torch.cat(logps_at(model, observed, BUDGET, delta, sign * 1e-2)) for sign in (1, -1))
    predicted = torch.cat(predicted_changes(model, observed, delta, BUDGET))
    assert predicted.numpy() == pytest.approx(((ahead - behind) / 2e-2).numpy(), rel=1e-6, abs=1e-9)


def test_error_grows_with_the_square_of_the_step(model, observed):
    """a(α) − α p = α² (half the curvature along Δθ) + O(α³): slope 2 in log-log."""
    delta, scales = random_delta(model, 1e-3), np.array([1e-3, 1e-2, 1e-1, 1.0])
    predicted, before = sums(predicted_changes(model, observed, delta, BUDGET)), sums(logps_at(model, observed, BUDGET))
    errors = [
        (sums(logps_at(model, observed, BUDGET, delta, scale)) - before - scale * predicted).norm() for scale in scales
    ]
    slopes = np.diff(np.log(errors)) / np.diff(np.log(scales))
    assert slopes == pytest.approx([2, 2, 2], abs=0.05)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parts_of_the_model_add_up_to_the_whole(name, observed):
    """Gradients, split by parts, against one forward-mode pass, for known and unknown heads, tied and capped ones."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(ARCHITECTURES[name]).eval()
    delta = random_delta(model)
    parts = split_changes(model, observed, delta, model_parts(model))
    assert all(set(part) == PARTS for part in parts)
    whole = predicted_changes(model, observed, delta, BUDGET)
    assert [len(change) for change in whole] == [len(response.response_ids) for response in observed]
    together = [sum(part.values()) for part in parts]
    assert together == pytest.approx(sums(whole).tolist(), rel=2e-4, abs=1e-7)


def test_forward_mode_one_part_at_a_time_gives_the_same_parts(model, observed):
    delta, part_of = random_delta(model), model_parts(model)
    parts = split_changes(model, observed, delta, part_of)
    for group in PARTS:
        own = {name: change for name, change in delta.items() if part_of(name) == group}
        alone = sums(predicted_changes(model, observed, own, BUDGET))
        assert alone.tolist() == pytest.approx([part[group] for part in parts], rel=1e-9, abs=1e-14)


def test_unembedding_part_of_a_tied_model_is_its_use_as_unembedding(tied_model, observed):
    """With the embedding held fixed, logits are W φ with φ of the old weights: computed by hand from hidden states."""
    delta = random_delta(tied_model)
    parts = split_changes(tied_model, observed, delta, model_parts(tied_model))
    for response, part in zip(observed, parts, strict=True):
        batch = make_batch([response])
        hidden = tied_model.base_model(input_ids=batch.input_ids).last_hidden_state[0, batch.positions]
        moved, prediction = hidden @ delta["lm_head.weight"].T, tied_model.get_output_embeddings()(hidden).softmax(-1)
        label = torch.arange(len(batch.labels)), batch.labels
        by_hand = (moved[label] - (prediction * moved).sum(-1)).sum()
        assert part["unembedding"] == pytest.approx(by_hand.item(), rel=1e-9)


def test_the_model_is_left_as_it_was(model, observed):
    model.train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    delta = random_delta(model)
    logps_at(model, observed, BUDGET, delta)
    predicted_changes(model, observed, delta, BUDGET)
    split_changes(model, observed, delta, model_parts(model))
    assert model.training
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("entry", [torch.nan, 1e308])
def test_a_prediction_that_is_not_finite_is_an_error(model, observed, entry):
    delta = {name: torch.full_like(weight, entry) for name, weight in weights_of(model).items()}
    with pytest.raises(TrainingError, match="predicted change is not finite"):
        predicted_changes(model, observed, delta, BUDGET)


def test_a_model_without_forward_mode_is_an_error(observed):
    model = AutoModelForCausalLM.from_config(BloomConfig(vocab_size=23, hidden_size=16, n_layer=2, n_head=2)).eval()
    with pytest.raises(ModelError, match="BloomForCausalLM cannot be decomposed"):
        predicted_changes(model, observed, random_delta(model), BUDGET)


MEASURE = """
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
from ldyn.theory.prediction import logps_at, predicted_changes, split_changes
from ldyn.theory.responses import Response, weights_of

def memory(kind):
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith(kind)).split()[1])

def use(model):
    delta = {name: torch.full_like(weight, 1e-6) for name, weight in weights_of(model).items()}
    predicted_changes(model, [Response((1, 2), (3, 4))], delta, 64)
    split_changes(model, [Response((1, 2), (3, 4))], delta, str)
    logps_at(model, [Response((1, 2), (3, 4))], 64, delta)

shape = dict(vocab_size=16_000, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=2)
use(GPTNeoXForCausalLM(GPTNeoXConfig(**{**shape, "vocab_size": 10, "num_hidden_layers": 1}, hidden_size=8)))
without = memory("VmRSS")
model = GPTNeoXForCausalLM(GPTNeoXConfig(**shape, hidden_size=512)).eval()
use(model)
print((memory("VmHWM") - without) / sum(weight.nbytes for weight in model.parameters()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_stays_at_three_times_the_weights():
    """Weights, Δθ, and one more copy at most, here of 166 MB, beside which activations are small."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert 2 < float(done.stdout) < 3.1


def test_a_response_longer_than_the_budget_is_alone(model):
    long = Response(tuple(range(1, 20)), tuple(range(1, 10)))
    short = Response((1, 2), (3,))
    alone = logps_at(model, [long], 1000)[0]
    assert logps_at(model, [short, long], 8)[1].tolist() == pytest.approx(alone.tolist(), rel=1e-12)


def test_only_trained_weights_take_part(model, observed):
    for name, weight in model.named_parameters():
        weight.requires_grad_("layers.1" in name)
    assert all("layers.1" in name for name in weights_of(model))
    logps = token_logps(model, weights_of(model), make_batch(observed))
    assert len(logps) == sum(len(response.response_ids) for response in observed)
