"""Split an update Δθ by what was trained on: what raised y⁺, what lowered y⁻, and the rest.

Δθ = −P g + rest, with g the clipped gradient of this step's loss, a sum over the responses of the batch, and P the
optimizer's step size of every weight:

    SGD      Δθ = −η g                                      P = η
    RMSprop  Δθ = −η g / (√v + ε)                           P = η / (√v + ε)
    AdamW    Δθ = −η (β₁ m + (1 − β₁) g) / (1 − β₁ᵗ) / (√v̂ + ε)     P = η (1 − β₁) / (1 − β₁ᵗ) / (√v̂ + ε)
             with v̂ = v / (1 − β₂ᵗ)

with v and t *after* the step (v contains this step's own gradient). The rest is what AdamW's earlier gradients m and
weight decay add.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ldyn.errors import TrainingError
from ldyn.models.evaluation import evaluation_mode
from ldyn.theory.prediction import inner_product
from ldyn.theory.responses import Weights, batches, joined, token_logps, under_all_names, weights_of
from ldyn.theory.updates import SIDES, TakenUpdate, UpdatedResponse


def delta_by_source(update: TakenUpdate, max_grad_norm: float, token_budget: int) -> dict[str, Weights]:
    """Side -> its part of Δθ; the rest is what their sum lacks. Needs twice the memory of the weights."""
    model, taken = update.model, update.taken
    assert taken.optimizer is not None
    by_side = {side: [one for one in update.updated if one.side == side] for side in SIDES}
    pulls = {side: _pull(model, taken.delta, own, token_budget) for side, own in by_side.items() if own}
    squares = (inner_product(a[name], b[name]) for a in pulls.values() for b in pulls.values() for name in a)
    clip = min(1.0, max_grad_norm / (sum(squares) ** 0.5 + 1e-6))  # as torch's clip_grad_norm_
    weights = dict(model.named_parameters())
    sizes = {name: step_sizes(taken.optimizer, taken.learning_rate, weights[name]) for name in taken.delta}
    return {
        side: under_all_names(model, {name: clip * sizes[name] * pull[name] for name in taken.delta})
        for side, pull in pulls.items()
    }


def gradient_descent(update: TakenUpdate, token_budget: int) -> Weights:
    """−η g, the step of plain gradient descent on the same batch at the same learning rate, unclipped."""
    pull = _pull(update.model, update.taken.delta, update.updated, token_budget)
    rate = update.taken.learning_rate
    return under_all_names(update.model, {name: rate * direction for name, direction in pull.items()})


def _pull(
    model: PreTrainedModel, names: Iterable[str], updated: Sequence[UpdatedResponse], token_budget: int
) -> dict[str, Tensor]:
    """Σ c ∇_θ s over some responses, of the named weights: minus the gradient of their part of the loss."""
    weights = weights_of(model, requires_grad=True)
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    with evaluation_mode(model), torch.enable_grad():
        for indices, batch in batches([one.response for one in updated], token_budget, model.device):
            sums = torch.stack([logps.sum() for logps in batch.split(token_logps(model, weights, batch))])
            coefficients = torch.tensor([updated[index].coefficient for index in indices]).to(sums)
            gradients = torch.autograd.grad(coefficients @ sums, list(weights.values()))
            for name, gradient in zip(weights, gradients, strict=True):
                total[name] += gradient
    together = joined(weights, list(total.values()))
    return {name: together[name] for name in names}


def step_sizes(optimizer: torch.optim.Optimizer, learning_rate: float, weight: nn.Parameter) -> Tensor | float:
    """P of each entry of ``weight`` in the step that ``optimizer`` has just made.

    Raises TrainingError for an optimizer, or one of its options, that is not among the three above.
    """
    options = next(group for group in optimizer.param_groups if any(one is weight for one in group["params"]))
    state: Mapping[str, Tensor] = optimizer.state[weight]
    if isinstance(optimizer, torch.optim.SGD) and not options["momentum"]:
        return learning_rate
    if isinstance(optimizer, torch.optim.RMSprop) and not options["momentum"] and not options["centered"]:
        root, numerator = state["square_avg"].sqrt(), learning_rate
    elif isinstance(optimizer, torch.optim.AdamW) and not options["amsgrad"]:
        (beta1, beta2), step = options["betas"], float(state["step"])
        root = (state["exp_avg_sq"] / (1 - beta2**step)).sqrt()
        numerator = learning_rate * (1 - beta1) / (1 - beta1**step)
    else:
        raise TrainingError(
            f"The step of {type(optimizer).__name__} with these options cannot be split by what was trained on, "
            "expected AdamW, RMSprop or SGD without momentum; set trainer.optimizer=adamw, rmsprop or sgd."
        )
    sizes: Tensor = numerator / (root + options["eps"])
    return sizes
