"""Two-layer models in float64, responses to observe and pairs to train on, all in memory."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedModel

from ldyn.theory.responses import Response

VOCABULARY = 23
SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "max_position_embeddings": 32,
}  # fmt: skip


def _sharpened(model: PreTrainedModel) -> PreTrainedModel:
    """Weights large enough that predictions differ between positions, as a trained model's do."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(8)
    return model.double().eval()


@pytest.fixture
def model() -> GPTNeoXForCausalLM:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _sharpened(GPTNeoXForCausalLM(GPTNeoXConfig(**SHAPE)))


@pytest.fixture
def tied_model() -> GPTNeoXForCausalLM:
    """Embedding and unembedding are one tensor."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _sharpened(GPTNeoXForCausalLM(GPTNeoXConfig(**SHAPE, tie_word_embeddings=True)))


@pytest.fixture(scope="session")
def make_response() -> Callable[..., Response]:
    """``make_response(seed, prompt tokens, response tokens)``."""

    def make(seed: int, n_prompt: int = 4, n_response: int = 5) -> Response:
        rng = random.Random(seed)
        ids = tuple(rng.randrange(1, VOCABULARY) for _ in range(n_prompt + n_response))
        return Response(ids[:n_prompt], ids[n_prompt:])

    return make


@pytest.fixture
def observed(make_response) -> list[Response]:
    """Responses of many lengths, so that every batch has padding."""
    return [make_response(seed, 2 + seed % 3, 1 + seed) for seed in range(5)]
