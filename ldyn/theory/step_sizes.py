"""How far one unit of gradient moves each weight: what an optimizer makes of the learning rate.

    SGD      Δθ = −η g                                      step size  η
    RMSprop  Δθ = −η g / (√v + ε)                                      η / (√v + ε)
    AdamW    Δθ = −η (β₁ m + (1 − β₁) g) / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + ε)     η (1 − β₁) / (1 − β₁ᵗ) / (√(…) + ε)

with v and t *after* the step (v holds this step's own gradient too). Given these sizes an update is linear in its
gradient, so it can be split by what was trained; what is left of it, AdamW's earlier gradients m and weight decay,
came from earlier batches.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ldyn.errors import TrainingError


def step_sizes(optimizer: torch.optim.Optimizer, learning_rate: float, weight: nn.Parameter) -> Tensor | float:
    """The step size of each entry of ``weight`` in the step that ``optimizer`` has just made.

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
            f"The step of {type(optimizer).__name__} with these options cannot be split by what was trained, expected "
            "AdamW, RMSprop or SGD without momentum; choose trainer.optimizer=adamw, rmsprop or sgd."
        )
    sizes: Tensor = numerator / (root + options["eps"])
    return sizes
