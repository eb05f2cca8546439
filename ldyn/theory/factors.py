"""A, K and G written out, for models so small that V × V matrices of every token pair fit: the picture of the paper.

Nothing else in ldyn builds them; the test suite does, to show that their product is what `exact` computes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ldyn.errors import ModelError
from ldyn.models.evaluation import evaluation_mode
from ldyn.theory.exact import GIB, check_memory
from ldyn.theory.residuals import UpdatedResponse
from ldyn.theory.responses import Batch, Response, flattened, make_batch, response_logits, weights_of


@dataclass(frozen=True)
class Factors:
    """A: [L_o, V, V]. K: [L_o, L_u, V, V]. G: [L_u, V]. labels: [L_o], the observed tokens."""

    A: Tensor
    K: Tensor
    G: Tensor
    labels: Tensor

    def change(self, learning_rate: float) -> Tensor:
        """−η A_m K_{m,l} G_l, [L_o, L_u, V]: what token l does to log π of every token of the vocabulary at m."""
        return -learning_rate * torch.einsum("mab,mlbc,lc->mla", self.A, self.K, self.G)

    def influence(self, learning_rate: float) -> Tensor:
        """[L_o, L_u], the entry of ``change`` at the token that the observed response has."""
        index = self.labels[:, None, None].expand(-1, self.K.shape[1], 1)
        return self.change(learning_rate).gather(2, index).squeeze(2)

    @property
    def kernel_norms(self) -> Tensor:
        """‖K_{m,l}‖_F, [L_o, L_u]."""
        norms: Tensor = torch.linalg.vector_norm(self.K, dim=(2, 3))
        return norms


def factors(model: PreTrainedModel, observed: Response, updated: UpdatedResponse, *, limit_gib: float = 4.0) -> Factors:
    """A, K and G of one observed and one updated response. Raises ModelError above ``limit_gib``, beforehand."""
    seen, trained = make_batch([observed], model.device), make_batch([updated.response], model.device)
    vocabulary = int(model.config.get_text_config().vocab_size)
    check_memory(model, vocabulary * (len(seen.labels) + len(trained.labels)), limit_gib, "kernel, written out,")
    _check_kernel_size(len(seen.labels) * len(trained.labels) * vocabulary**2 * model.dtype.itemsize, limit_gib)
    left, prediction = logit_gradients(model, seen)
    right, trained_prediction = logit_gradients(model, trained)
    one_hot = torch.nn.functional.one_hot(trained.labels, vocabulary).to(trained_prediction)
    return Factors(
        A=torch.eye(vocabulary).to(prediction) - prediction[:, None, :],
        K=torch.einsum("map,lbp->mlab", left, right),
        G=updated.coefficient * (trained_prediction - one_hot),
        labels=seen.labels,
    )


def logit_gradients(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """∇_θ z, [N, V, P], and π, [N, V], of the response tokens of a batch."""
    weights = {name: tensor.requires_grad_() for name, tensor in weights_of(model).items()}
    with evaluation_mode(model), torch.enable_grad():
        logits = response_logits(model, weights, batch)
        parts = (torch.autograd.grad(z, list(weights.values()), retain_graph=True) for z in logits.flatten())
        rows = torch.stack([flattened(weights, gradients) for gradients in parts])
    return rows.unflatten(0, logits.shape), logits.detach().softmax(-1)


def _check_kernel_size(n_bytes: int, limit_gib: float) -> None:
    if n_bytes / GIB > limit_gib:
        raise ModelError(
            f"The kernel of every token pair, written out, takes {n_bytes / GIB:.3g} GiB, expected at most "
            f"{limit_gib:g} GiB; take a smaller vocabulary, or its norms, which are estimated without it."
        )
