"""What an update Δθ does to log π, for a model of any size: predicted to first order, and actually.

    predicted change of log π(y_m | χ_o) = ⟨∇_θ log π(y_m | χ_o), Δθ⟩,      Δθ: what the optimizer really did

Forward mode predicts all tokens from one pass that carries the derivative along Δθ (about four plain forward passes).
For a model with an operation that has no forward mode, each response takes one backward pass, which gives the sum over
its tokens only. The same gradient, weight by weight, splits a prediction by parts of the model.

Memory beside activations: weights, Δθ and at most one gradient, so never more than three times the weights.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence

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
    """⟨∇ log π, Δθ⟩ of each response, nats: [L], token by token; [1], their sum, for a model without forward mode.

    ``delta`` maps names of weights to their change; other weights do not change. Raises TrainingError if Δθ or a
    prediction is not finite.
    """
    _check_finite(delta)
    changes = _by_forward_mode(model, responses, delta, token_budget)
    if changes is None:
        changes = [torch.tensor([parts["all"]]) for parts in split_changes(model, responses, delta, lambda _: "all")]
    if not all(bool(change.isfinite().all()) for change in changes):
        raise TrainingError(
            "A predicted change is not finite: the model's derivatives overflow here; use an earlier checkpoint, or "
            "decompose.precision=float64."
        )
    return changes


def split_changes(
    model: PreTrainedModel, responses: Sequence[Response], delta: Weights, part_of: Callable[[str], str]
) -> list[dict[str, float]]:
    """The predicted change of each response (summed over tokens, nats), split by parts of the model.

    ``part_of`` maps a weight's name to its part, see `model_parts`. One backward pass a response.
    """
    _check_finite(delta)
    weights = _matching(weights_of(model, requires_grad=True), delta)
    with evaluation_mode(model), torch.enable_grad():
        return [_split(model, weights, delta, make_batch([one], model.device), part_of) for one in responses]


def _check_finite(delta: Weights) -> None:
    for name, change in delta.items():
        if not change.isfinite().all():
            raise TrainingError(
                f"The update of {name} is not finite, expected finite numbers: the gradient or the optimizer's state "
                "overflowed; use an earlier checkpoint, or a smaller learning rate."
            )


def _by_forward_mode(
    model: PreTrainedModel, responses: Sequence[Response], delta: Weights, token_budget: int
) -> list[Tensor] | None:
    """None, with a warning the first time, for a model without forward mode."""
    along = functools.partial(_forward, model, _matching(weights_of(model), delta), delta)
    try:
        with evaluation_mode(model):
            return by_batches(model, responses, token_budget, along)
    except (NotImplementedError, RuntimeError) as error:
        if not lacks_forward_mode(error):
            raise
        reason = str(error).partition(".")[0]
        warnings.warn(f"Changes are predicted for whole responses only: no forward mode here ({reason}).", stacklevel=2)
        return None


def _forward(model: PreTrainedModel, weights: Weights, delta: Weights, batch: Batch) -> Sequence[Tensor]:
    tangent = {name: delta[name].to(tensor) for name, tensor in weights.items()}
    changes = jvp(lambda at: token_logps(model, at, batch), (dict(weights),), (tangent,))[1]
    return [change.cpu() for change in batch.split(changes)]


def _split(
    model: PreTrainedModel, weights: Weights, delta: Weights, batch: Batch, part_of: Callable[[str], str]
) -> dict[str, float]:
    gradients = torch.autograd.grad(token_logps(model, weights, batch).sum(), list(weights.values()))
    parts: dict[str, float] = {}
    for name, gradient in zip(weights, gradients, strict=True):
        parts[part_of(name)] = parts.get(part_of(name), 0.0) + inner_product(gradient, delta[name])
    return parts


def inner_product(a: Tensor, b: Tensor) -> float:
    """Σ a b in float64, in pieces, so that no large tensor is copied."""
    pieces = zip(a.flatten().split(2**18), b.flatten().split(2**18), strict=True)
    return sum(float(left.double() @ right.double()) for left, right in pieces)


def _matching(weights: Weights, delta: Weights) -> dict[str, Tensor]:
    unknown = [name for name in delta if name not in weights or weights[name].shape != delta[name].shape]
    if unknown:
        raise TrainingError(
            f"The update has {len(unknown)} tensors that the model lacks or has in another shape "
            f"(first: {unknown[0]}), expected an update of this model: use the checkpoint and the optimizer state of "
            "the same stage and run."
        )
    return {name: tensor for name, tensor in weights.items() if name in delta}


def lacks_forward_mode(error: BaseException) -> bool:
    """Whether torch raised ``error`` because an operation has no forward mode; it has three ways to say so."""
    words = ("forward AD", "forward-mode", "setup_context")
    return isinstance(error, NotImplementedError) or any(word in str(error) for word in words)


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
