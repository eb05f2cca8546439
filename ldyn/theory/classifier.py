"""A small image classifier, and the theory's prediction of what one step does to it, term by term.

For a step of gradient descent with learning rate η on one example (x_u, y_u) and an observed image x_o (PAPER section
1, "Classification"), with logits z over V classes, π = softmax(z), parameters θ:

    Δ log π(·|x_o) = −η A(x_o) K(x_o, x_u) G(x_u, y_u) + O(η²)

    A(x_o) = I − 1 π(·|x_o)ᵀ                    V × V, how logit changes become changes of log π
    K(x_o, x_u) = J(x_o) J(x_u)ᵀ                V × V, the empirical neural tangent kernel; J = ∂z/∂θ, V × P
    G(x_u, y_u) = π(·|x_u) − e_{y_u}            V, the residual of the loss −log π(y_u|x_u)

All in float64, so that what is left between prediction and actual change is the O(η²) term.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

CLASSES = 10
Parameters = Mapping[str, Tensor]


def build_classifier(seed: int) -> nn.Sequential:
    """Two convolutions and a linear layer, 1,898 parameters for images of any size; weights drawn with ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 8, kernel_size=3, padding=1),
            nn.GELU(),
            nn.AvgPool2d(2),
            nn.Conv2d(8, 16, kernel_size=3, padding=1),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(64, CLASSES),
        )
    return model.double()


def detached(model: nn.Module) -> dict[str, Tensor]:
    """The parameters as they are, by name, apart from any graph."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def logps(model: nn.Module, parameters: Parameters, images: Tensor) -> Tensor:
    """log π of every class: (N, V). images: (N, 1, height, width)."""
    with torch.no_grad():
        logits: Tensor = functional_call(model, dict(parameters), (images,))
        return logits.log_softmax(dim=-1)


def logit_jacobians(model: nn.Module, parameters: Parameters, images: Tensor) -> Tensor:
    """J(x) of each image, (N, V, P), the parameters in the order of ``parameters``."""

    def logits(given: dict[str, Tensor], image: Tensor) -> Tensor:
        of_one: Tensor = functional_call(model, given, (image[None],))
        return of_one[0]

    by_name = vmap(jacrev(logits), in_dims=(None, 0))(dict(parameters), images)
    return torch.cat([by_name[name].flatten(start_dim=2) for name in parameters], dim=2)


def loss_gradient(model: nn.Module, parameters: Parameters, image: Tensor, label: int) -> dict[str, Tensor]:
    """∇_θ of −log π(label | image) by name, by automatic differentiation; image: (1, height, width)."""
    free = {name: parameter.detach().requires_grad_() for name, parameter in parameters.items()}
    loss = -functional_call(model, free, (image[None],)).log_softmax(dim=-1)[0, label]
    return dict(zip(free, torch.autograd.grad(loss, list(free.values())), strict=True))


def stepped(parameters: Parameters, gradient: Parameters, learning_rate: float) -> dict[str, Tensor]:
    """The parameters after one step of gradient descent."""
    return {name: parameter - learning_rate * gradient[name] for name, parameter in parameters.items()}


def kernel_blocks(observed: Tensor, updated: Tensor) -> Tensor:
    """K(x_o, x_u) for each observed image: (N, V, V). observed: (N, V, P) and updated: (V, P) Jacobians."""
    return torch.einsum("ovp,wp->ovw", observed, updated)


def predicted_change(observed_logps: Tensor, kernels: Tensor, updated_logps: Tensor, label: int) -> Tensor:
    """−A K G for each observed image, (N, V); times η it is the predicted change of log π.

    observed_logps: (N, V); kernels: (N, V, V); updated_logps: (V,).
    """
    residual = updated_logps.exp()
    residual[label] -= 1.0
    moved = -kernels @ residual  # (N, V): change of the logits
    return moved - (observed_logps.exp() * moved).sum(dim=-1, keepdim=True)
