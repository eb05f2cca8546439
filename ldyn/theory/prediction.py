"""The scalable level, for any model: what an update Δθ does to log π, to first order and in truth.

    predicted change of log π(y_m | χ_o) = ⟨∇_θ log π(y_m | χ_o), Δθ⟩,      Δθ what the optimizer really did

Forward mode gives the predictions of all tokens at once, from one pass that carries the derivative along Δθ (about
four plain forward passes). Where an operation of the model has no forward mode, each response's own gradient is taken
instead: one backward pass a response, whose sum over tokens is then all that is known. The same gradient, weight by
weight, splits a prediction by parts of the model at no further cost.

Memory beside activations: weights and Δθ in forward mode; a gradient besides in the other. Never more than three times
the weights. Attention is plain and arithmetic float32 or better, see `responses`.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.func import jvp
from transformers import PreTrainedModel

from ldyn.errors import TrainingError
from ldyn.models.evaluation import evaluation_mode
from ldyn.theory.groups import Grouping
from ldyn.theory.responses import Batch, Response, Weights, batches, make_batch, token_logps, weights_of

Method = Literal["auto", "forward", "backward"]


def logps_at(
    model: PreTrainedModel,
    responses: Sequence[Response],
    token_budget: int,
    delta: Weights | None = None,
    scale: float = 1.0,
) -> list[Tensor]:
    """log π of each response's tokens, nats, at the model's weights, or at θ + scale · Δθ."""
    with evaluation_mode(model):
        moved = (
            {n: torch.add(w, delta[n], alpha=scale) for n, w in weights_of(model).items() if n in delta}
            if delta
            else {}
        )
        return _of_each(responses, token_budget, model, lambda batch: batch.split(token_logps(model, moved, batch)))


def predicted_changes(
    model: PreTrainedModel, responses: Sequence[Response], delta: Weights, token_budget: int, method: Method = "auto"
) -> list[Tensor]:
    """⟨∇ log π, Δθ⟩ of each response, nats: [L], token by token, in forward mode, [1], their sum, in backward mode.

    ``delta`` maps names of weights to their change; weights without one stay. "auto" is forward mode, and backward mode
    where the model has an operation without it. Raises TrainingError where Δθ or a prediction is not finite.
    """
    check_finite(delta)
    changes = None if method == "backward" else _by_forward_mode(model, responses, delta, token_budget, method)
    if changes is None:
        changes = [torch.tensor([parts["all"]]) for parts in split_changes(model, responses, delta, lambda _: "all")]
    if not all(bool(change.isfinite().all()) for change in changes):
        raise TrainingError(
            "A predicted change is not finite: the model's derivatives overflow here; use an earlier checkpoint, or "
            "weights of a wider type."
        )
    return changes


def split_changes(
    model: PreTrainedModel, responses: Sequence[Response], delta: Weights, group_of: Grouping
) -> list[dict[str, float]]:
    """The predicted change of each response (summed over tokens, nats), split by groups of weights.

    ``group_of`` maps a weight's name to its group; the sum over groups is the whole. One backward pass a response.
    """
    check_finite(delta)
    weights = {name: w.requires_grad_() for name, w in _matching(weights_of(model), delta).items()}
    with evaluation_mode(model), torch.enable_grad():
        return [_split(model, weights, delta, make_batch([one], model.device), group_of) for one in responses]


def check_finite(delta: Weights) -> None:
    """Raise TrainingError naming the first weight whose change is not finite."""
    for name, change in delta.items():
        if not change.isfinite().all():
            raise TrainingError(
                f"The update of {name} is not finite, expected finite numbers: the gradient or the optimizer's state "
                "overflowed; take an earlier checkpoint, or a smaller learning rate."
            )


def _by_forward_mode(
    model: PreTrainedModel, responses: Sequence[Response], delta: Weights, token_budget: int, method: Method
) -> list[Tensor] | None:
    """None, and a warning the first time, where "auto" meets a model without forward mode."""
    along = functools.partial(_forward, model, _matching(weights_of(model), delta), delta)
    try:
        with evaluation_mode(model):
            return _of_each(responses, token_budget, model, along)
    except (NotImplementedError, RuntimeError) as error:
        if method == "forward" or not lacks_forward_mode(error):
            raise
        reason = str(error).partition(".")[0]
        _say_once(f"Changes are predicted for each response, not for each token: no forward mode here ({reason}).")
        return None


def _forward(model: PreTrainedModel, weights: Weights, delta: Weights, batch: Batch) -> Sequence[Tensor]:
    tangent = {name: delta[name].to(tensor) for name, tensor in weights.items()}
    return batch.split(jvp(lambda at: token_logps(model, at, batch), (dict(weights),), (tangent,))[1])


def _split(
    model: PreTrainedModel, weights: Weights, delta: Weights, batch: Batch, group_of: Grouping
) -> dict[str, float]:
    gradients = torch.autograd.grad(token_logps(model, weights, batch).sum(), list(weights.values()))
    parts: dict[str, float] = {}
    for name, gradient in zip(weights, gradients, strict=True):
        parts[group_of(name)] = parts.get(group_of(name), 0.0) + inner_product(gradient, delta[name])
    return parts


def inner_product(a: Tensor, b: Tensor) -> float:
    """Σ a b in float64, a piece at a time: no copy of a large tensor is made."""
    pieces = zip(a.flatten().split(2**18), b.flatten().split(2**18), strict=True)
    return sum(float(left.double() @ right.double()) for left, right in pieces)


def _of_each(
    responses: Sequence[Response],
    token_budget: int,
    model: PreTrainedModel,
    of_batch: Callable[[Batch], Sequence[Tensor]],
) -> list[Tensor]:
    """Values of each response, computed in batches, in the order of ``responses``."""
    found: dict[int, Tensor] = {}
    for indices, batch in batches(responses, token_budget, model.device):
        found |= dict(zip(indices, (values.cpu() for values in of_batch(batch)), strict=True))
    return [found[index] for index in range(len(responses))]


def _matching(weights: Weights, delta: Weights) -> dict[str, Tensor]:
    unknown = [name for name in delta if name not in weights or weights[name].shape != delta[name].shape]
    if unknown:
        raise TrainingError(
            f"The update has {len(unknown)} tensors that the model lacks or has in another shape "
            f"(first: {unknown[0]}), expected the update of this very model: take checkpoint and optimizer "
            "state from one stage of one run."
        )
    return {name: tensor for name, tensor in weights.items() if name in delta}


def lacks_forward_mode(error: BaseException) -> bool:
    """Whether it says that the model has no forward mode.

    torch says so in three ways: no derivative, an operation without it, a function not written for transforms.
    """
    said = ("forward AD", "forward-mode", "setup_context")
    return isinstance(error, NotImplementedError) or any(words in str(error) for words in said)


@functools.cache
def _say_once(message: str) -> None:
    warnings.warn(message, stacklevel=2)
