"""What an update Δθ does to log π, for a model of any size: predicted to first order, and actually.

    predicted change of log π(y_m | χ_o) = ⟨∇_θ log π(y_m | χ_o), Δθ⟩,      Δθ: what the optimizer really did

Forward mode predicts all tokens from one pass that carries the derivative along Δθ (about four plain forward passes).
The gradient of a response, weight by weight, splits its prediction by parts of the model.

Memory beside activations: weights, Δθ and at most one gradient, so never more than three times the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import jvp
from transformers import PreTrainedModel

from ldyn.errors import ModelError, TrainingError
from ldyn.models.evaluation import evaluation_mode
from ldyn.theory.responses import Batch, Response, Weights, by_batches, make_batch, token_logps, weights_of


def logps_at(
    model: PreTrainedModel,
    responses: Sequence[Response],
    token_budget: int,
    delta: Weights | None = None,
    scale: float = 1.0,
) -> list[Tensor]:
    """log π of each response's tokens, nats, at the model's weights, or at θ + scale · Δθ."""
    delta = delta or {}

    def of_batch(batch: Batch) -> Sequence[Tensor]:
        return [logps.cpu() for logps in batch.split(token_logps(model, moved, batch))]

    with evaluation_mode(model):
        moved = {n: torch.add(w, delta[n], alpha=scale) for n, w in weights_of(model).items() if n in delta}
        return by_batches(model, responses, token_budget, of_batch)


def predicted_changes(
    model: PreTrainedModel, responses: Sequence[Response], delta: Weights, token_budget: int
) -> list[Tensor]:
    """⟨∇ log π, Δθ⟩ of each response's tokens, nats.

    ``delta`` maps names of weights to their change; other weights do not change. Raises TrainingError if a prediction
    is not finite, ModelError for a model without forward mode.
    """
    weights = {name: weight for name, weight in weights_of(model).items() if name in delta}
    tangent = {name: delta[name].to(weight) for name, weight in weights.items()}

    def of_batch(batch: Batch) -> Sequence[Tensor]:
        changes = jvp(lambda at: token_logps(model, at, batch), (weights,), (tangent,))[1]
        return [change.cpu() for change in batch.split(changes)]

    with evaluation_mode(model), forward_mode(model):
        changes = by_batches(model, responses, token_budget, of_batch)
    if not all(bool(change.isfinite().all()) for change in changes):
        raise TrainingError(
            "A predicted change is not finite: the update or the model's derivatives overflow; use an earlier "
            "checkpoint, a smaller learning rate, or decompose.precision=float64."
        )
    return changes


@contextmanager
def forward_mode(model: PreTrainedModel) -> Iterator[None]:
    """Turn torch's three kinds of error about an operation without forward mode into one ModelError."""
    try:
        yield
    except (NotImplementedError, RuntimeError) as error:
        words = ("forward AD", "forward-mode", "setup_context")
        if isinstance(error, NotImplementedError) or any(word in str(error) for word in words):
            raise ModelError(
                f"{type(model).__name__} cannot be decomposed: an operation of it has no forward-mode derivative in "
                f"torch ({str(error).partition('.')[0]}). Use another architecture, such as Llama or GPT-NeoX."
            ) from error
        raise


def split_changes(
    model: PreTrainedModel, responses: Sequence[Response], delta: Weights, part_of: Callable[[str], str]
) -> list[dict[str, float]]:
    """The predicted change of each response (summed over tokens, nats), split by parts of the model.

    ``part_of`` maps a weight's name to its part, see `model_parts`. One backward pass a response.
    """
    weights = {name: weight for name, weight in weights_of(model, requires_grad=True).items() if name in delta}
    changes = []
    with evaluation_mode(model), torch.enable_grad():
        for response in responses:
            logp = token_logps(model, weights, make_batch([response], model.device)).sum()
            parts: dict[str, float] = {}
            for name, gradient in zip(weights, torch.autograd.grad(logp, list(weights.values())), strict=True):
                parts[part_of(name)] = parts.get(part_of(name), 0.0) + inner_product(gradient, delta[name])
            changes.append(parts)
    return changes


def inner_product(a: Tensor, b: Tensor) -> float:
    """Σ a b in float64, in pieces, so that no large tensor is copied."""
    pieces = zip(a.flatten().split(2**18), b.flatten().split(2**18), strict=True)
    return sum(float(left.double() @ right.double()) for left, right in pieces)


def model_parts(model: PreTrainedModel) -> Callable[[str], str]:
    """Name of a weight, as `weights_of` names it -> "embeddings", "layer 1" and so on, "final norm" or "unembedding".

    A tensor that serves as embedding and unembedding has two names, and a part for each use. The unembedding alone is
    the paper's fixed feature map: logits move only as W does in z = W φ(χ), while φ is constant.
    """
    output = next(name for name, module in model.named_modules() if module is model.get_output_embeddings())
    count = model.config.get_text_config().num_hidden_layers
    lists = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    fitting = [(name, module) for name, module in lists if len(module) == count]
    if not fitting:
        raise ModelError(f"{type(model).__name__} has no list of {count} layers, so its weights cannot be grouped.")
    prefix, _ = max(fitting, key=lambda found: sum(weight.numel() for weight in found[1].parameters()))

    def part_of(name: str) -> str:
        if name.startswith(f"{output}."):
            return "unembedding"
        if name.startswith(f"{prefix}."):
            return f"layer {1 + int(name.removeprefix(f'{prefix}.').partition('.')[0])}"
        is_embedding = isinstance(model.get_submodule(name.rpartition(".")[0]), nn.Embedding)
        return "embeddings" if "embed" in name or is_embedding else "final norm"

    return part_of
