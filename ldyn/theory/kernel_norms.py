"""How large the kernel between two responses is: ‖K(χ_o, χ_u)‖_F over all their token pairs, without building it.

K = J_o J_uᵀ has (L_o V) × (L_u V) entries, J the derivative of all logits. For v of length L_u V with independent
entries ±1, E‖K v‖² = ‖K‖_F² (M. Hutchinson, Communications in Statistics 19 (1990) 433), and K v needs no matrix: one
backward pass gives w = J_uᵀ v, a direction in weight space; one forward-mode pass gives J_o w, for every observed
response at once. The mean over several v has the standard error reported with it. With every unit vector in the place
of v the sum is exact, for small V.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import jvp, vmap
from transformers import PreTrainedModel

from ldyn.models.evaluation import evaluation_mode
from ldyn.theory.responses import Response, Weights, joined, make_batch, response_logits, weights_of

DIRECTIONS_BYTES = 2**25
"""Room for directions in weight space that are worked on together; a large model's are taken one by one."""


@dataclass(frozen=True, slots=True)
class KernelNorm:
    """‖K‖_F between an observed and an updated response; ``standard_error`` is 0 where it is exact.

    token_pairs: L_o · L_u. per_pair: the root mean square of ‖K_{m,l}‖_F over them, which does not grow with length.
    """

    norm: float
    standard_error: float
    token_pairs: int

    @property
    def per_pair(self) -> float:
        """‖K‖_F / √(L_o L_u)."""
        return self.norm / math.sqrt(self.token_pairs)


def kernel_norms(
    model: PreTrainedModel, observed: Sequence[Response], updated: Response, *, projections: int | None, seed: int
) -> list[KernelNorm]:
    """‖K‖_F between each observed response and ``updated``.

    projections: random ones, drawn by ``seed``, at least 2; None for all unit vectors, which is exact and takes L_u · V
    of them. Norms of one call share their projections, and their errors with it.
    """
    squares, batch = [], make_batch(observed, model.device)
    lengths = list(batch.lengths)
    weights = {name: tensor.requires_grad_() for name, tensor in weights_of(model).items()}
    plain = {name: tensor.detach() for name, tensor in weights.items()}
    with evaluation_mode(model):
        with torch.enable_grad():
            logits = response_logits(model, weights, make_batch([updated], model.device))

        def moved(direction: dict[str, Tensor]) -> Tensor:
            """J_o w, [N, V]."""
            change: Tensor = jvp(lambda at: response_logits(model, at, batch), (plain,), (direction,))[1]
            return change

        for vectors in _vectors(logits, projections, seed).split(_at_once(plain)):
            parts = torch.autograd.grad(
                logits, list(weights.values()), vectors, is_grads_batched=True, retain_graph=True
            )
            changes = vmap(moved)(joined(weights, parts))  # [vectors, N, V]
            squares.append(torch.stack([part.double().square().sum((1, 2)) for part in changes.split(lengths, 1)], 1))
    pairs = [length * len(updated.response_ids) for length in lengths]
    return _norms(torch.cat(squares), pairs, exact=projections is None)


def _vectors(logits: Tensor, projections: int | None, seed: int) -> Tensor:
    """[vectors, L_u, V]: all unit vectors, or random signs."""
    if projections is None:
        units: Tensor = torch.eye(logits.numel()).to(logits).reshape(-1, *logits.shape)
        return units
    signs = torch.randint(0, 2, (projections, *logits.shape), generator=torch.Generator().manual_seed(seed))
    vectors: Tensor = (2 * signs - 1).to(logits)
    return vectors


def _at_once(weights: Weights) -> int:
    """Of how many vectors the directions are kept: those of small models go through their layers together."""
    return max(1, DIRECTIONS_BYTES // sum(weight.nbytes for weight in weights.values()))


def _norms(squares: Tensor, pairs: Sequence[int], *, exact: bool) -> list[KernelNorm]:
    """``squares``: [projections, observed], each an unbiased estimate of ‖K‖_F², or summands of it."""
    if exact:
        return [KernelNorm(total**0.5, 0.0, n) for total, n in zip(squares.sum(0).tolist(), pairs, strict=True)]
    norms = squares.mean(0).sqrt()
    errors = squares.std(0) / len(squares) ** 0.5 / (2 * norms)  # of a square root: half the relative error
    return [KernelNorm(*values) for values in zip(norms.tolist(), errors.tolist(), pairs, strict=True)]
