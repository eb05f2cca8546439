"""A small image classifier, and the theory's prediction of what one step of gradient descent does to it.

For one trained example (x_u, y_u) and an observed image x_o (arXiv 2407.10490, section 2), with logits z over V
classes, π = softmax(z), parameters θ and learning rate η:

    Δ log π(·|x_o) = −η A(x_o) K(x_o, x_u) G(x_u, y_u) + O(η²)

    A(x_o) = I − 1 π(·|x_o)ᵀ                    V × V, how logit changes become changes of log π
    K(x_o, x_u) = J(x_o) J(x_u)ᵀ                V × V, the empirical neural tangent kernel; J = ∂z/∂θ, V × P
    G(x_u, y_u) = π(·|x_u) − e_{y_u}            V, the residual of the loss −log π(y_u|x_u)

All in float64, so that the difference between prediction and actual change is the O(η²) term.
Shapes: O images, V classes, P parameters.
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
    """The parameters by name, without gradients."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def logps(model: nn.Module, parameters: Parameters, images: Tensor) -> Tensor:
    """log π of every class: [O, V]. images: [O, 1, height, width]."""
    with torch.no_grad():
        logits: Tensor = functional_call(model, dict(parameters), (images,))
        return logits.log_softmax(dim=-1)


def logit_jacobians(model: nn.Module, parameters: Parameters, images: Tensor) -> Tensor:
    """J(x) of each image, [O, V, P], the parameters in the order of ``parameters``."""

    def logits(given: dict[str, Tensor], image: Tensor) -> Tensor:
        of_one: Tensor = functional_call(model, given, (image[None],))
        return of_one[0]

    by_name = vmap(jacrev(logits), in_dims=(None, 0))(dict(parameters), images)
    return torch.cat([by_name[name].flatten(start_dim=2) for name in parameters], dim=2)


def loss_gradient(model: nn.Module, parameters: Parameters, image: Tensor, label: int) -> dict[str, Tensor]:
    """∇_θ of −log π(label | image) by name; image: [1, height, width]."""
    free = {name: parameter.detach().requires_grad_() for name, parameter in parameters.items()}
    loss = -functional_call(model, free, (image[None],)).log_softmax(dim=-1)[0, label]
    return dict(zip(free, torch.autograd.grad(loss, list(free.values())), strict=True))


def stepped(parameters: Parameters, gradient: Parameters, learning_rate: float) -> dict[str, Tensor]:
    """The parameters after one step of gradient descent."""
    return {name: parameter - learning_rate * gradient[name] for name, parameter in parameters.items()}


def kernel_blocks(observed_OVP: Tensor, updated_VP: Tensor) -> Tensor:
    """K(x_o, x_u) for each observed image from the Jacobians, [O, V, V]."""
    return torch.einsum("ovp,wp->ovw", observed_OVP, updated_VP)


def predicted_change(logps_OV: Tensor, kernels_OVV: Tensor, updated_logps_V: Tensor, label: int) -> Tensor:
    """−A K G for each observed image, [O, V]; times η it is the predicted change of log π."""
    residual_V = updated_logps_V.exp()
    residual_V[label] -= 1.0
    moved_OV = -kernels_OVV @ residual_V  # change of the logits
    return moved_OV - (logps_OV.exp() * moved_OV).sum(dim=-1, keepdim=True)
