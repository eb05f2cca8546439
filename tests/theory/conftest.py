"""Two-layer models in float64, responses to observe and pairs to train on, all in memory."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedModel

from ldyn.theory.responses import Response, flattened, joined, make_batch, response_logits, token_logps, weights_of
from ldyn.theory.updates import UpdatedResponse

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


@dataclass(frozen=True)
class WrittenOut:
    """A: [L_o, V, V]. K: [L_o, L_u, V, V]. G: [L_u, V]. labels: [L_o], the observed tokens."""

    A: Tensor
    K: Tensor
    G: Tensor
    labels: Tensor

    def change(self, learning_rate: float) -> Tensor:
        """−η A_m K_{m,l} G_l, [L_o, L_u, V]: what token l does to log π of every token of the vocabulary at m."""
        return -learning_rate * torch.einsum("mab,mlbc,lc->mla", self.A, self.K, self.G)

    def influence(self, learning_rate: float) -> Tensor:
        """[L_o, L_u], the entry of ``change`` at the token that the observed response has."""
        index = self.labels[:, None, None].expand(-1, self.K.shape[1], 1)
        return self.change(learning_rate).gather(2, index).squeeze(2)


def _logit_gradients(model: PreTrainedModel, response: Response) -> tuple[Tensor, Tensor]:
    """∇_θ z, [L, V, P], and π, [L, V]."""
    weights = weights_of(model, requires_grad=True)
    logits = response_logits(model, weights, make_batch([response]))
    parts = (torch.autograd.grad(z, list(weights.values()), retain_graph=True) for z in logits.flatten())
    rows = torch.stack([flattened(weights, gradients) for gradients in parts])
    return rows.unflatten(0, logits.shape), logits.detach().softmax(-1)


@pytest.fixture(scope="session")
def write_out() -> Callable[..., WrittenOut]:
    """``write_out(model, observed, updated)``: A, K and G as matrices, by their definitions."""

    def written(model: PreTrainedModel, observed: Response, updated: UpdatedResponse) -> WrittenOut:
        left, prediction = _logit_gradients(model, observed)
        right, trained_prediction = _logit_gradients(model, updated.response)
        one_hot = torch.nn.functional.one_hot(torch.tensor(updated.response.response_ids), VOCABULARY)
        return WrittenOut(
            A=torch.eye(VOCABULARY).to(prediction) - prediction[:, None, :],
            K=torch.einsum("map,lbp->mlab", left, right),
            G=updated.coefficient * (trained_prediction - one_hot),
            labels=torch.tensor(observed.response_ids),
        )

    return written


@pytest.fixture(scope="session")
def descent() -> Callable[..., dict[str, Tensor]]:
    """``descent(model, updated, rate)``: −rate ∇_θ L, with L = −Σ c s the loss of these coefficients, by autograd."""

    def step(model: PreTrainedModel, updated: list[UpdatedResponse], rate: float) -> dict[str, Tensor]:
        weights = weights_of(model, requires_grad=True)
        terms = [u.coefficient * token_logps(model, weights, make_batch([u.response])).sum() for u in updated]
        gradients = joined(weights, torch.autograd.grad(sum(terms), list(weights.values())))
        return {name: rate * gradient for name, gradient in gradients.items()}

    return step


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore what Hydra's commands set."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
