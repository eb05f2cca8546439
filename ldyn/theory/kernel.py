"""The size of the kernel K = J_o J_uᵀ between two responses, J the derivative of all their logits by the weights.

Norm ‖K‖_F. K has (L_o V) × (L_u V) entries and is not built. For v of length L_u V with independent entries ±1,
E‖K v‖² = ‖K‖_F² (M. Hutchinson, Communications in Statistics 19 (1990) 433). One backward pass gives w = J_uᵀ v, a
direction in weight space; one forward-mode pass gives J_o w, for every observed response at once.

Shapes: O observed tokens, U updated tokens, V tokens in the vocabulary, S projections, R observed responses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torch.func import jvp, vmap
from transformers import PreTrainedModel

from ldyn.models.evaluation import evaluation_mode
from ldyn.records import EncodedPair
from ldyn.theory.prediction import forward_mode
from ldyn.theory.responses import Observed, Response, joined, make_batch, response_logits, weights_of
from ldyn.theory.settings import DecompositionConfig
from ldyn.theory.updates import SIDES, responses_of

DIRECTIONS_BYTES = 2**25
"""Memory for directions in weight space that are processed together; a large model's are processed one by one."""


class KernelNorm(NamedTuple):
    """‖K‖_F with its standard error, and ‖K‖_F / √(L_o L_u), which does not grow with the lengths."""

    norm: float
    standard_error: float
    per_pair: float


def kernel_norms(
    model: PreTrainedModel, observed: Sequence[Response], updated: Response, *, projections: int, seed: int
) -> list[KernelNorm]:
    """Estimate ‖K‖_F between each observed response and ``updated`` from at least 2 random projections.

    Norms of one call share their projections, so their errors are correlated.
    """
    squares, batch = [], make_batch(observed, model.device)
    weights = weights_of(model, requires_grad=True)
    plain = {name: tensor.detach() for name, tensor in weights.items()}
    with evaluation_mode(model), forward_mode(model):
        with torch.enable_grad():
            logits_UV = response_logits(model, weights, make_batch([updated], model.device))

        def moved(direction: dict[str, Tensor]) -> Tensor:
            """J_o w, [O, V]."""
            change: Tensor = jvp(lambda at: response_logits(model, at, batch), (plain,), (direction,))[1]
            return change

        signs = torch.randint(0, 2, (projections, *logits_UV.shape), generator=torch.Generator().manual_seed(seed))
        together = max(1, DIRECTIONS_BYTES // sum(weight.nbytes for weight in plain.values()))
        for vectors_SUV in (2 * signs - 1).to(logits_UV).split(together):
            parts = torch.autograd.grad(
                logits_UV, list(weights.values()), vectors_SUV, is_grads_batched=True, retain_graph=True
            )
            changes_SOV = vmap(moved)(joined(weights, parts))
            by_response = changes_SOV.split(list(batch.lengths), 1)
            squares.append(torch.stack([part.double().square().sum((1, 2)) for part in by_response], 1))
    squares_SR = torch.cat(squares)
    norms = squares_SR.mean(0).sqrt()
    errors = squares_SR.std(0) / projections**0.5 / (2 * norms)  # of a square root: half the relative error
    pairs = [length * len(updated.response_ids) for length in batch.lengths]
    return [
        KernelNorm(norm, error, norm / n**0.5)
        for norm, error, n in zip(norms.tolist(), errors.tolist(), pairs, strict=True)
    ]


def kernel_table(
    model: PreTrainedModel,
    observed: Observed,
    pairs: Mapping[str, EncodedPair],
    view: Sequence[str],
    settings: DecompositionConfig,
    seed: int,
) -> pd.DataFrame:
    """The table ``kernel_norms``: between each response of some examples and what a stage trains on for that question.

    ``seed``: of the random projections; different for every update, so that their errors are independent.
    """
    frames = []
    examples = [one for one in observed.examples if one.example_id in pairs][: settings.kernel_examples]
    for number, example in enumerate(examples):
        responses = [Response(example.prompt_ids, ids) for ids in example.responses.values()]
        for side in (side for side in SIDES if side in view):
            updated = responses_of(pairs[example.example_id], side)
            norms = kernel_norms(model, responses, updated, projections=settings.projections, seed=seed + number)
            labels = pd.DataFrame({"probe": list(example.responses)}).assign(updated=side)
            labels.insert(0, "example_id", example.example_id)
            frames.append(pd.concat([labels, pd.DataFrame(norms)], axis=1))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
