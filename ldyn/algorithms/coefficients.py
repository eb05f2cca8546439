"""What a loss does to the logits, in one number per response: the residual coefficients, by autograd.

A loss is a function of s± = log π(y± | x), and ∂s/∂z_l = e_{y_l} − π_l at token l. So its gradient on the logits of
response y± is c± (π_l − e_{y_l}), with c± = −∂ℓ/∂s± (arXiv 2407.10490): positive pulls the response up, negative pushes
it down. The energy of a response is the norm of that gradient over all of its tokens and the vocabulary,

    ‖∂ℓ/∂z‖_F = |c| · (Σ_l ‖π_l − e_{y_l}‖²)^½.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ldyn.algorithms.record import Algorithm, Responses
from ldyn.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor

SIDES = ("chosen", "rejected")  # a pointwise loss has the first only: whatever response it trains on


def residual_coefficients(
    algorithm: Algorithm, parameters: Mapping[str, float], *responses: Responses
) -> tuple[Tensor, ...]:
    """c for each of ``responses`` (chosen and rejected; one for a pointwise loss): [B] each, of the losses' sum.

    The model is not involved: the loss is evaluated again on the numbers in ``responses``.
    """
    import torch  # here: see ldyn.algorithms.record

    leaves = [replace(one, logp=one.logp.detach().requires_grad_()) for one in responses]
    with torch.enable_grad():
        total = algorithm.loss(*leaves, **parameters).sum()
    gradients = torch.autograd.grad(total, [leaf.logp for leaf in leaves], materialize_grads=True)
    return tuple(-gradient for gradient in gradients)


def residual_values(
    algorithm: Algorithm, parameters: Mapping[str, float], responses: Sequence[Responses], norms: Sequence[Tensor]
) -> dict[str, Tensor]:
    """``coefficient_<side>`` and ``energy_<side>`` of each example, [B] each.

    norms: for each of ``responses`` (Σ_l ‖π_l − e_{y_l}‖²)^½, [B]; the energy is |coefficient| times that.
    """
    coefficients = residual_coefficients(algorithm, parameters, *responses)
    values: dict[str, Tensor] = {}
    for side, coefficient, norm in zip(SIDES, coefficients, norms, strict=False):
        values |= {f"coefficient_{side}": coefficient, f"energy_{side}": coefficient.abs() * norm}
    return values


def check_loss(algorithm: Algorithm, parameters: Mapping[str, float]) -> None:
    """Call the loss on two made-up examples. Raises TrainingError unless it returns one value per example.

    A groupwise loss is TRL's own: a no-op.
    """
    if algorithm.kind == "groupwise":
        return
    import torch

    mask = torch.tensor([[True, True, True], [True, True, False]])
    token_logps = torch.tensor([[-1.0, -0.5, -2.0], [-3.0, -0.25, 0.0]])
    logp, lengths = token_logps.sum(dim=1), mask.sum(dim=1)
    responses = Responses(logp.requires_grad_(), lengths, lengths.float().mean(), logp.detach(), token_logps, mask)
    try:
        losses = algorithm.loss(*[responses] * (1 if algorithm.kind == "pointwise" else 2), **parameters)
    except Exception as error:
        raise TrainingError(f"The loss {algorithm.name} raises {type(error).__name__}: {error}") from error
    if not torch.is_tensor(losses) or losses.shape != logp.shape:
        found = f"a tensor of shape {list(losses.shape)}" if torch.is_tensor(losses) else type(losses).__name__
        raise TrainingError(
            f"The loss {algorithm.name} returned {found} for 2 examples; expected one value per example, shape [2]. "
            "Return the losses without averaging: the trainer takes the mean."
        )
