"""The influence of each trained token on each observed token, for small models: the exact level of A · K · G.

    influence[m, l] = −η [A_m K_{m,l} G_l]_{y_m} = η c ⟨∇_θ log π(y_m | χ_o), ∇_θ log π(y_l | χ_u)⟩

because e_{y_m}ᵀ A_m ∇_θ z_m = ∇_θ log π(y_m) and G_l ∇_θ z_l = −c ∇_θ log π(y_l). The sum of row m over all responses
of an update is the first-order change of log π(y_m) under one step of plain gradient descent.

Shapes: O observed and U updated response tokens, P weights. The gradient of every token is kept, (O + U) × P numbers;
`check_memory` raises an error beforehand if that is too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.errors import ModelError
from ldyn.models.evaluation import evaluation_mode
from ldyn.records import EncodedPair, EncodedProbeExample, StageInfo
from ldyn.theory.kernel import token_statistics
from ldyn.theory.responses import Batch, Observed, Response, flattened, make_batch, token_logps, weights_of
from ldyn.theory.settings import DecompositionConfig
from ldyn.theory.updates import SIDES, UpdatedResponse, responses_of

GIB = 2**30
PROBES = ("chosen", "rejected", "chosen_gptsemantic", "irr_train")
"""Observed responses: what is trained, one that resembles it, one that is true of another question."""


def influence(
    model: PreTrainedModel,
    observed: Sequence[Response],
    updated: Sequence[UpdatedResponse],
    learning_rate: float,
) -> Tensor:
    """[O, U], nats: what each updated token does to each observed one in a step of plain gradient descent."""
    seen, trained = make_batch(observed, model.device), make_batch([u.response for u in updated], model.device)
    steps = [learning_rate * u.coefficient for u, n in zip(updated, trained.lengths, strict=True) for _ in range(n)]
    gradients_OP, gradients_UP = token_gradients(model, seen), token_gradients(model, trained)
    return gradients_OP @ gradients_UP.T * torch.tensor(steps, dtype=gradients_UP.dtype, device=gradients_UP.device)


def token_gradients(model: PreTrainedModel, batch: Batch) -> Tensor:
    """∇_θ log π(y) of every response token of the batch, flattened: [N, P]."""
    weights = weights_of(model, requires_grad=True)
    with evaluation_mode(model), torch.enable_grad():
        logps = token_logps(model, weights, batch)
        gradients = (torch.autograd.grad(logp, list(weights.values()), retain_graph=True) for logp in logps)
        return torch.stack([flattened(weights, parts) for parts in gradients])


def influence_table(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    observed: Observed,
    pairs: Mapping[str, EncodedPair],
    stage: StageInfo,
    settings: DecompositionConfig,
) -> pd.DataFrame:
    """The table ``influence``: what each token of y⁺ and y⁻ does to each token of `PROBES`, for the first examples.

    For a step of plain gradient descent on that pair alone with η c = 1, and −1 at y⁻ if the loss compares the two.
    Columns: example_id, probe, side, observed_token, updated_token (indices), observed_text, updated_text, influence,
    a_norm (‖A_m‖_F), g_norm (‖G_l‖).
    """
    signs = {side: -1.0 if stage.kind == "pairwise" and side == "rejected" else 1.0 for side in SIDES}
    frames = []
    for example, pair in _resolved_examples(observed, pairs, settings):
        seen = {probe: Response(example.prompt_ids, ids) for probe, ids in _resolved(example).items()}
        trained = [UpdatedResponse(pair.pair_id, s, responses_of(pair, s), signs[s]) for s in SIDES if s in stage.view]
        values = influence(model, list(seen.values()), trained, learning_rate=1.0)
        responses = [*seen.values(), *(one.response for one in trained)]
        stats = token_statistics(model, responses, settings.token_budget)
        texts = [[str(tokenizer.decode([token])) for token in response.response_ids] for response in responses]
        lengths = list(map(len, texts))
        blocks = [rows.split(lengths[len(seen) :], dim=1) for rows in values.split(lengths[: len(seen)])]
        for (i, probe), (j, update) in product(enumerate(seen), enumerate(trained)):
            places = list(product(range(lengths[i]), range(lengths[len(seen) + j])))
            residual_norm = abs(update.coefficient) * stats[len(seen) + j].residual_norm
            columns = {
                "observed_token": [m for m, _ in places],
                "updated_token": [k for _, k in places],
                "observed_text": [texts[i][m] for m, _ in places],
                "updated_text": [texts[len(seen) + j][k] for _, k in places],
                "influence": blocks[i][j].flatten().tolist(),
                "a_norm": [float(stats[i].a_norm[m]) for m, _ in places],
                "g_norm": [float(residual_norm[k]) for _, k in places],
            }
            frames.append(pd.DataFrame(columns).assign(example_id=example.example_id, probe=probe, side=update.side))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def check_memory(
    model: PreTrainedModel, observed: Observed, pairs: Mapping[str, EncodedPair], settings: DecompositionConfig
) -> None:
    """Raise ModelError, before any step is taken, if the gradients of an example need more memory than the limit."""
    n_weights = model.num_parameters(only_trainable=True)
    for example, pair in _resolved_examples(observed, pairs, settings):
        tokens = sum(map(len, (*_resolved(example).values(), pair.chosen_ids, pair.rejected_ids)))
        needed = tokens * n_weights * model.dtype.itemsize / GIB
        if needed > settings.limit_gib:
            raise ModelError(
                f"Token-by-token influence would keep {tokens} gradients of {n_weights:,} weights, {needed:.3g} GiB, "
                f"expected at most {settings.limit_gib:g} GiB; raise decompose.limit_gib, or skip it with "
                "decompose.influence_examples=0: predicted changes keep no gradient."
            )


def _resolved_examples(
    observed: Observed, pairs: Mapping[str, EncodedPair], settings: DecompositionConfig
) -> Iterator[tuple[EncodedProbeExample, EncodedPair]]:
    trained = [one for one in observed.examples if one.example_id in pairs]
    return ((one, pairs[one.example_id]) for one in trained[: settings.influence_examples])


def _resolved(example: EncodedProbeExample) -> dict[str, tuple[int, ...]]:
    return {probe: ids for probe, ids in example.responses.items() if probe in PROBES}
