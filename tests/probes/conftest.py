"""Small random models of many architectures, probe examples, and the oracle: one forward per response in float64."""

from __future__ import annotations

import copy
import dataclasses
import random

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from ldyn.records import EncodedProbeExample, ProbeScore

VOCABULARY, HIDDEN, CONTEXT = 61, 32, 64
UNUSED = VOCABULARY - 1  # no example has it

SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": CONTEXT, "pad_token_id": 0, "eos_token_id": 1,
    "bos_token_id": 1,
}  # fmt: skip
GROUPED = {**SHAPE, "num_key_value_heads": 2}  # fewer keys than queries
SLIDING = ["sliding_attention", "full_attention"]
CONFIGS: dict[str, PretrainedConfig] = {
    "gpt_neox": GPTNeoXConfig(**SHAPE, hidden_dropout=0.3, attention_dropout=0.3),
    "llama": LlamaConfig(**GROUPED),
    "smollm": LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "smollm3": SmolLM3Config(**GROUPED),
    "mistral": MistralConfig(**GROUPED, sliding_window=CONTEXT),
    "olmo2": Olmo2Config(**GROUPED),
    "phi3": Phi3Config(**GROUPED),
    "qwen2": Qwen2Config(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED, head_dim=8),
    "gemma": GemmaConfig(**GROUPED, head_dim=8),
    "gemma2": Gemma2Config(
        **GROUPED, head_dim=8, sliding_window=CONTEXT, layer_types=SLIDING, final_logit_softcapping=5.0
    ),
    "gemma3": Gemma3TextConfig(
        **GROUPED, head_dim=8, sliding_window=CONTEXT, layer_types=SLIDING, final_logit_softcapping=5.0
    ),
    "gemma3_uncapped": Gemma3TextConfig(**GROUPED, head_dim=8, sliding_window=CONTEXT, layer_types=SLIDING),
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY, n_embd=HIDDEN, n_layer=2, n_head=4, n_positions=CONTEXT, eos_token_id=1, bos_token_id=1
    ),
    "granite": GraniteConfig(**GROUPED, logits_scaling=3.0),  # heads that are not known
    "opt": OPTConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=CONTEXT, word_embed_proj_dim=HIDDEN,
    ),
    "bloom": BloomConfig(vocab_size=VOCABULARY, hidden_size=HIDDEN, n_layer=2, n_head=4),  # takes no position ids
}  # fmt: skip


def _tiny_model(kind, attention="sdpa", dtype=torch.float32):
    """Two layers of random weights, sharpened so that predictions differ between positions."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = copy.deepcopy(CONFIGS[kind])  # a model keeps the object, and with it its kind of attention
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6)
    return model.to(dtype)


@pytest.fixture(scope="session")
def tiny_model():
    """``tiny_model(kind, attention, dtype)``, in training mode or not as transformers makes it."""
    return _tiny_model


def _example(number, n_prompt, lengths):
    rng = random.Random(number)
    responses = {f"probe{k}": tuple(rng.choices(range(UNUSED), k=n)) for k, n in enumerate(lengths)}
    return EncodedProbeExample("train", f"id{number}", tuple(rng.choices(range(UNUSED), k=n_prompt)), responses)


@pytest.fixture
def example():
    """``example(number, prompt tokens, response lengths)``."""
    return _example


@pytest.fixture(scope="session")
def examples():
    return [
        _example(0, 5, [3, 9, 1, 20, 7]),
        _example(1, 1, [1]),  # the shortest that there can be
        _example(2, 17, [12, 11, 13, 40, 2, 2, 2]),
        _example(3, 9, [30, 1, 30]),
        _example(0, 5, [3, 9, 1, 20, 7]),  # an id twice
    ]


def _oracle_score(model, item, probe):
    """``model`` in float64. Statistics from their definitions, accumulated token by token."""
    response = item.responses[probe]
    ids = torch.tensor([[*item.prompt_ids, *response]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0]
    total = dict.fromkeys([field.name for field in dataclasses.fields(ProbeScore)][4:], 0.0)
    for position, label in enumerate(response):
        logp = logits[len(item.prompt_ids) + position - 1].log_softmax(-1)
        p, greedy = logp.exp(), int(logp.argmax())
        others = torch.cat([logp[:greedy], logp[greedy + 1 :]])
        one_hot = nn.functional.one_hot(torch.tensor(label), len(p))
        total["logp"] += float(logp[label])
        total["logp_argmax"] += float(logp[greedy])
        total["log_mass_rest"] += float(others.logsumexp(0))
        total["entropy"] += float(-(p * logp).sum()) / len(response)
        total["prob_norm_sq"] += float((p * p).sum()) / len(response)
        total["a_norm"] += float((torch.eye(len(p)) - p[None, :]).norm()) / len(response)
        total["residual_norm"] += float((p - one_hot).norm()) / len(response)
        total["p_label"] += float(p[label]) / len(response)
        total["argmax_is_label"] += float(greedy == label) / len(response)
    return ProbeScore(item.split, item.example_id, probe, len(response), **total)


@pytest.fixture
def oracle():
    """``oracle(model in float64 and evaluation mode, examples)``."""
    return lambda model, members: [_oracle_score(model, item, probe) for item in members for probe in item.responses]


def _assert_close(found, expected, tolerance):
    assert len(found) == len(expected)
    for f, e in zip(found, expected, strict=True):
        assert (f.split, f.example_id, f.probe, f.n_tokens) == (e.split, e.example_id, e.probe, e.n_tokens)
        values, others = dataclasses.astuple(f)[4:], dataclasses.astuple(e)[4:]
        assert values == pytest.approx(others, rel=tolerance, abs=tolerance), (f, e)


@pytest.fixture
def assert_close():
    return _assert_close
