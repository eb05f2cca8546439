"""What a loss does to the logits, in one number a response: the residual coefficients, by autograd.

A loss is a function of s± = log π(y± | x), and ∂s/∂z_l = e_{y_l} − π_l at token l. So its gradient on the logits of
response y± is c± (π_l − e_{y_l}), with c± = −∂ℓ/∂s± (arXiv 2407.10490): positive pulls the response up, negative pushes
it down. The energy of a response is the norm of that gradient over all of its tokens and the vocabulary,

    ‖∂ℓ/∂z‖_F = |c| · (Σ_l ‖π_l − e_{y_l}‖²)^½.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ldyn.algorithms.record import Algorithm, Responses

if TYPE_CHECKING:
    from torch import Tensor


def residual_coefficients(
    algorithm: Algorithm, parameters: Mapping[str, float], *responses: Responses
) -> tuple[Tensor, ...]:
    """c for each of ``responses`` (chosen and rejected; one for a pointwise loss): [B] each, of the losses' sum.

    Nothing of the model is needed or touched: the loss is evaluated anew on the numbers in ``responses``.
    """
    import torch  # here: see ldyn.algorithms.record

    leaves = [replace(one, logp=one.logp.detach().requires_grad_()) for one in responses]
    with torch.enable_grad():
        total = algorithm.loss(*leaves, **parameters).sum()
    gradients = torch.autograd.grad(total, [leaf.logp for leaf in leaves], materialize_grads=True)
    return tuple(-gradient for gradient in gradients)
