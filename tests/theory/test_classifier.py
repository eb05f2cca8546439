"""A, K and G of the small classifier against autograd, their definitions, and the change itself, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ldyn.theory.classifier import (
    build_classifier,
    detached,
    kernel_blocks,
    logit_jacobians,
    logps,
    loss_gradient,
    predicted_change,
    stepped,
)

LABEL = 3


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    return build_classifier(0)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def flat(parameters: dict[str, Tensor]) -> Tensor:
    return torch.cat([parameter.flatten() for parameter in parameters.values()])


def test_the_gradient_of_the_loss_is_j_times_g(model: nn.Sequential, images: Tensor) -> None:
    parameters = detached(model)
    gradient = flat(loss_gradient(model, parameters, images[0], LABEL))
    [jacobian] = logit_jacobians(model, parameters, images[:1])
    residual = logps(model, parameters, images[:1])[0].exp() - torch.eye(10, dtype=torch.float64)[LABEL]
    torch.testing.assert_close(gradient, jacobian.T @ residual, rtol=1e-10, atol=1e-12)


def test_the_prediction_is_a_times_k_times_g_written_out(model: nn.Sequential, images: Tensor) -> None:
    """Each term by its definition, one observed image at a time, entry by entry."""
    parameters = detached(model)
    jacobians = logit_jacobians(model, parameters, images)
    observed = logps(model, parameters, images)
    found = predicted_change(observed, kernel_blocks(jacobians, jacobians[0]), observed[0], LABEL)
    for image in range(3):
        A = torch.eye(10, dtype=torch.float64) - torch.ones(10, 1, dtype=torch.float64) @ observed[image].exp()[None]
        K = torch.empty(10, 10, dtype=torch.float64)
        for v in range(10):
            for w in range(10):
                K[v, w] = (jacobians[image, v] * jacobians[0, w]).sum()
        G = torch.tensor([float(p) - (v == LABEL) for v, p in enumerate(observed[0].exp())], dtype=torch.float64)
        torch.testing.assert_close(found[image], -A @ K @ G, rtol=1e-10, atol=1e-12)


def test_what_is_left_over_is_of_second_order(model: nn.Sequential, images: Tensor) -> None:
    """The error falls with the square of the step: by 100 where the step falls by 10."""
    parameters = detached(model)
    jacobians, before = logit_jacobians(model, parameters, images), logps(model, parameters, images)
    slope = predicted_change(before, kernel_blocks(jacobians, jacobians[0]), before[0], LABEL)
    gradient = loss_gradient(model, parameters, images[0], LABEL)
    errors = []
    for rate in (1e-3, 1e-4):
        actual = logps(model, stepped(parameters, gradient, rate), images) - before
        errors.append(float((actual - rate * slope).norm()))
        assert errors[-1] < 0.02 * float(actual.norm())
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.05)
