"""A word-level tokenizer, tiny models of random weights, and an endpoint on this machine."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import GPT2Config, GPTNeoXConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.auto import AutoModelForCausalLM

sys.path.append(str(Path(__file__).parent))  # stand_in.py is no test module and belongs to no package

from stand_in import StandIn

VOCABULARY = 40
CONFIGS: dict[str, PreTrainedConfig] = {
    "gpt_neox": GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=32, hidden_dropout=0.5, attention_dropout=0.5,
    ),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=32),
}  # fmt: skip


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    words = {"<eos>": 0, "<unk>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    backend = Tokenizer(WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", unk_token="<unk>")


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """Float64, so that a greedy choice does not hang on rounding; in training mode, as between two updates."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(CONFIGS[request.param])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    return model.double().train()


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """An endpoint that can be told how to behave; no proxy stands before it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    server = StandIn()
    yield server
    server.close()
