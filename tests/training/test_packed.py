"""Packed batches against one response at a time in float64, and against padded training."""

from __future__ import annotations

import dataclasses
import random
import warnings
from collections.abc import Sequence
from functools import cache

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
)

from ldyn.models import document_attention, packed_forward
from ldyn.models.document_attention import takes_documents
from ldyn.models.packed_forward import why_plain
from ldyn.models.packing import Document, in_rows, may_attend, pack
from ldyn.training.batches import Layout, pair_row, pairwise_documents
from ldyn.training.logps import token_logps
from ldyn.training.settings import LoraConfig
from ldyn.training.stage import make_trainer

SHAPE = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64, "pad_token_id": 1, "eos_token_id": 0, "bos_token_id": 0,
}  # fmt: skip
GROUPED = {**SHAPE, "num_key_value_heads": 2}
CONFIGS = {
    "gpt_neox": GPTNeoXConfig(**SHAPE),
    "llama": LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**GROUPED),
    "gpt2": GPT2Config(vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=64, eos_token_id=0, bos_token_id=0),
    "gemma3": Gemma3TextConfig(
        **GROUPED, head_dim=8, sliding_window=24, final_logit_softcapping=5.0,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "mistral": MistralConfig(**GROUPED, sliding_window=24),
}  # fmt: skip
LAYOUTS = {
    "one row": Layout(pad_id=1, hidden_size=10**9, plain=False, token_budget=0),
    "four rows": Layout(pad_id=1, hidden_size=1, plain=False, token_budget=0),
    "padded": Layout(pad_id=1, hidden_size=1, plain=True, token_budget=0),
}


def tiny(kind: str, attention: str = "sdpa", dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    torch.manual_seed(0)
    config = type(CONFIGS[kind])(**CONFIGS[kind].to_dict())
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).to(dtype).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(6)  # predictions that differ between positions
    return model


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    """Five pairs, one with a prompt and a response of one token; the responses of the first begin alike."""
    rng = random.Random(3)

    def ids(count: int) -> list[int]:
        return [rng.randrange(2, 40) for _ in range(count)]

    sizes = [(5, 9, 4), (1, 1, 6), (8, 3, 12), (4, 6, 6), (3, 5, 2)]
    rows = [dict(zip(("prompt_ids", "chosen_ids", "rejected_ids"), map(ids, size), strict=True)) for size in sizes]
    rows[0]["rejected_ids"][0] = rows[0]["chosen_ids"][0]
    return pairwise_documents(rows)


def alone(model: PreTrainedModel, prompt: Sequence[int], response: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """log π of each token and (Σ ‖π − e‖²)^½, from their definitions."""
    logits = model(input_ids=torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
    labels = torch.tensor(response)
    residuals = logits.softmax(-1) - nn.functional.one_hot(labels, logits.shape[-1])
    return logits.log_softmax(-1)[torch.arange(len(labels)), labels], residuals.detach().norm()


def dpo_and_sft(sums: torch.Tensor) -> torch.Tensor:
    chosen, rejected = sums.chunk(2)
    return -nn.functional.logsigmoid(0.1 * (chosen - rejected + 1)).mean() - 0.3 * chosen.mean()


@pytest.mark.parametrize("layout", [*LAYOUTS, "documents"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_logps_norms_and_gradients_are_those_of_each_response_alone(kind, layout, documents, monkeypatch):
    model = tiny(kind)
    assert why_plain(model, 20) == ""
    if layout == "documents":
        monkeypatch.setattr(document_attention, "SMALLEST", 0)
        assert takes_documents(model) == (kind != "gemma3")  # some of its layers ask for a mask of their own
        layout = "one row"
    batch = LAYOUTS[layout].pack(documents)
    assert len(batch.input_ids) == {"one row": 1, "four rows": 4, "padded": 10}[layout]
    found = token_logps(model, batch, with_residuals=True)
    dpo_and_sft(found.sums).backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()

    single = {key: alone(model, d.prompt_ids, y) for d in documents for key, y in zip(d.keys, d.responses, strict=True)}
    for place, (logps, norm) in sorted(single.items()):
        torch.testing.assert_close(found.logps[place][found.mask[place]], logps, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.residual_norms[place], norm, rtol=1e-9, atol=1e-9)
    dpo_and_sft(torch.stack([single[place][0].sum() for place in sorted(single)])).backward()
    tolerance = 1e-9 if kind in ("gpt_neox", "gpt2") else 1e-6  # the others' norms compute in float32
    for name, weight in model.named_parameters():
        torch.testing.assert_close(gradients[name], weight.grad, rtol=tolerance, atol=tolerance)


def test_eager_attention_takes_the_mask_as_well(documents):
    """Its softmax is in float32."""
    sums = [token_logps(tiny("llama", how), LAYOUTS["four rows"].pack(documents)).sums for how in ("eager", "sdpa")]
    torch.testing.assert_close(*sums, rtol=1e-5, atol=1e-5)


def test_a_layout_by_hand():
    """P: 10 11, its responses 20 21 and 22; Q: 12, its response 23. Row two is one document of fewer tokens."""
    rows = [
        [Document((10, 11), ("a", "b"), ((20, 21), (22,))), Document((12,), ("c",), ((23,),))],
        [Document((13, 14), ("d",), ((24, 25),))],
    ]
    batch = pack(rows, pad_id=0)
    assert batch.input_ids.tolist() == [[10, 11, 20, 21, 22, 12, 23], [13, 14, 24, 25, 0, 0, 0]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 2, 0, 1], [0, 1, 2, 3, 0, 0, 0]]
    assert batch.needed.tolist() == [1, 2, 5, 8, 9]
    assert batch.rows.tolist() == [0, 1, 0, 2, 3, 4]
    assert batch.labels.tolist() == [20, 21, 22, 23, 24, 25]
    assert (batch.keys, batch.lengths) == (("a", "b", "c", "d"), (2, 1, 1, 2))
    assert may_attend(batch)[0].int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1, 1],
    ]
    assert may_attend(batch)[1].diagonal().all()  # padding has something to attend to


def test_long_rows_are_divided_where_attention_costs_more_than_the_rest(documents):
    for hidden_size, expected in ((4, 4), (10**6, 1)):
        rows = in_rows(documents, hidden_size)
        assert len(rows) == expected
        assert sorted(document.keys for row in rows for document in row) == [document.keys for document in documents]


def test_parts_of_a_micro_batch_keep_to_the_budget(documents):
    """The documents have 18, 8, 23, 16 and 10 tokens."""
    layout = LAYOUTS["one row"]
    for budget, expected in ((100, [5]), (26, [2, 1, 2]), (1, [1] * 5)):
        parts = dataclasses.replace(layout, token_budget=budget).parts(documents)
        assert [len(part) for part in parts] == expected
        assert [index for part in parts for index in part] == list(range(5))


# --------------------------------------------------------------------------------------------------------------
# Training


@pytest.fixture(scope="module")
def trained(plan_for, tokenizer, pairs):
    """Weights and log after five updates of four; the last of an epoch has one example."""

    def train(name, model, directory, **settings) -> tuple[torch.Tensor, list[dict[str, float]]]:
        plan = plan_for(name, ("chosen", "rejected"), max_steps=5, **settings)
        trainer = make_trainer(plan, model, tokenizer, pairs, directory=directory, seed=0)
        trainer.train()
        values = [weight.flatten() for _, weight in sorted(trainer.model.state_dict().items())]
        return torch.cat(values).detach(), [row for row in trainer.state.log_history if "loss" in row]

    return train


@pytest.fixture(scope="module")
def padded(trained, make_model, tmp_path_factory):
    """``padded(name, lora)``: padded training, done once for each."""
    directory = tmp_path_factory.mktemp("padded")
    return cache(lambda name, lora: trained(name, make_model(), directory, batching="padded", lora=lora))


@pytest.mark.parametrize(("name", "settings"), [
    ("sft", {}), ("sft_token_mean", {"token_budget": 30}), ("dpo", {}), ("dpo", {"lora": LoraConfig(rank=4, alpha=8)}),
    ("sft_token_mean", {"token_budget": 1, "gradient_accumulation": 2}),
    ("dpo_sft", {"token_budget": 1, "gradient_accumulation": 2}), ("dpo_sft", {"gradient_checkpointing": True}),
])  # fmt: skip
@pytest.mark.parametrize("smallest", [0, 256])  # hidden size from which on attention goes by documents
def test_packed_training_is_padded_training(
    name, settings, smallest, trained, padded, make_model, tmp_path, monkeypatch
):
    monkeypatch.setattr(document_attention, "SMALLEST", smallest)
    expected, log = padded(name, settings.get("lora"))
    found, same_log = trained(name, make_model(), tmp_path, **settings)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)
    for row, expected_row in zip(same_log, log, strict=True):
        for column in row.keys() - {"epoch", "accuracy"}:  # at first all margins are 0 but rounding
            assert row[column] == pytest.approx(expected_row[column], rel=1e-3, abs=1e-4), column


def test_a_model_that_sees_a_window_is_padded_and_says_so_once(trained, tmp_path):
    packed_forward.warn_once.cache_clear()
    models = [tiny("mistral", dtype=torch.float32) for _ in range(3)]
    for model in models:
        model.config.sliding_window = 6
    with pytest.warns(UserWarning, match=r"batches are padded.*sees 6 tokens back, and the longest text has 1"):
        found, _ = trained("dpo", models[0], tmp_path / "packed")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        expected, _ = trained("dpo", models[1], tmp_path / "padded", batching="padded")
        trained("dpo", models[2], tmp_path / "again")
    assert torch.equal(found, expected)


def test_prompts_and_padding_cost_no_logits(make_model, pairs):
    model, shapes = make_model(), []
    model.lm_head.register_forward_hook(lambda module, inputs, logits: shapes.append(tuple(logits.shape[:-1])))
    documents = pairwise_documents([pair_row(pair) for pair in pairs])
    token_logps(model, LAYOUTS["four rows"].pack(documents))
    shared = len(documents)  # the last token of a prompt predicts the first of both responses
    assert shapes == [(1, sum(document.n_response_tokens for document in documents) - shared)]
    model(torch.ones(1, 7).long())
    assert shapes[1] == (1, 7)  # afterwards the model is as it was
