"""The exact level, for small models: A, K and G contracted token pair by token pair, without a V × V matrix.

    influence[m, l] = −η [A_m K_{m,l} G_l]_{y_m} = η c ⟨∇_θ log π(y_m | χ_o), ∇_θ log π(y_l | χ_u)⟩

because e_{y_m}ᵀ A_m ∇_θ z_m = ∇_θ log π(y_m) and G_l ∇_θ z_l = −c ∇_θ log π(y_l). The sum of row m over all responses
of an update is the first-order change of log π(y_m) under one step of plain gradient descent.

Every token's gradient is kept: (N_o + N_u) × P numbers, N_o and N_u the response tokens observed and updated. What that
needs is computed beforehand, and refused above a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ldyn.errors import ModelError
from ldyn.models.evaluation import evaluation_mode
from ldyn.theory.residuals import UpdatedResponse
from ldyn.theory.responses import Batch, Response, flattened, make_batch, token_logps, weights_of

GIB = 2**30


@dataclass(frozen=True)
class Influence:
    """values: [N_o, N_u] nats, row m observed token m, column l updated token l; observed responses and updated ones
    follow each other. observed_lengths, updated_lengths: the response tokens of each.
    """

    values: Tensor
    observed_lengths: tuple[int, ...]
    updated_lengths: tuple[int, ...]

    @property
    def predicted(self) -> Tensor:
        """[N_o], the first-order change of log π of each observed token."""
        return self.values.sum(dim=1)

    def block(self, observed: int, updated: int) -> Tensor:
        """L_o × L_u, of one observed response and one updated one."""
        rows = torch.split(self.values, list(self.observed_lengths))[observed]
        return torch.split(rows, list(self.updated_lengths), dim=1)[updated]


def influence(
    model: PreTrainedModel,
    observed: Sequence[Response],
    updated: Sequence[UpdatedResponse],
    *,
    learning_rate: float,
    limit_gib: float = 4.0,
) -> Influence:
    """What each updated token does to each observed one in a step of plain gradient descent.

    Raises ModelError, before anything is computed, where more than ``limit_gib`` of memory would be needed, and
    DataError where nothing is observed or updated.
    """
    seen, trained = make_batch(observed, model.device), make_batch([u.response for u in updated], model.device)
    check_memory(model, len(seen.labels) + len(trained.labels), limit_gib)
    steps = [learning_rate * u.coefficient for u, n in zip(updated, trained.lengths, strict=True) for _ in range(n)]
    left, right = token_gradients(model, seen), token_gradients(model, trained)
    return Influence(
        left @ right.T * torch.tensor(steps, dtype=right.dtype, device=right.device), seen.lengths, trained.lengths
    )


def token_gradients(model: PreTrainedModel, batch: Batch) -> Tensor:
    """∇_θ log π(y) of every response token of the batch, flattened: [N, P]."""
    weights = {name: tensor.requires_grad_() for name, tensor in weights_of(model).items()}
    with evaluation_mode(model), torch.enable_grad():
        logps = token_logps(model, weights, batch)
        gradients = (torch.autograd.grad(logp, list(weights.values()), retain_graph=True) for logp in logps)
        return torch.stack([flattened(weights, parts) for parts in gradients])


def check_memory(model: PreTrainedModel, n_gradients: int, limit_gib: float, what: str = "exact level") -> None:
    """Raise ModelError if so many gradients of the whole model take more than the limit."""
    needed, n_weights = needed_gib(model, n_gradients), model.num_parameters(only_trainable=True)
    if needed > limit_gib:
        raise ModelError(
            f"The {what} would keep {n_gradients} gradients of {n_weights:,} weights, {needed:.3g} GiB, "
            f"expected at most {limit_gib:g} GiB; raise the limit (decompose.limit_gib), or leave token-by-token "
            "influence out (decompose.influence_examples=0): predicted changes keep no gradient."
        )


def needed_gib(model: PreTrainedModel, n_gradients: int) -> float:
    """Memory of so many gradients; the work on one of them adds about as much as a training step's."""
    return n_gradients * model.num_parameters(only_trainable=True) * model.dtype.itemsize / GIB
