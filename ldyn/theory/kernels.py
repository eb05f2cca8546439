"""The kernel at one moment: its norms between responses, and, for few examples, the influence token by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.errors import ModelError
from ldyn.records import EncodedPair, EncodedProbeExample, StageInfo
from ldyn.theory.decompose_settings import DecompositionConfig
from ldyn.theory.exact import check_memory, influence
from ldyn.theory.kernel_norms import KernelNorm, kernel_norms
from ldyn.theory.observed import Observed
from ldyn.theory.prediction import lacks_forward_mode
from ldyn.theory.residuals import UpdatedResponse
from ldyn.theory.responses import Response
from ldyn.theory.sources import SIDES, responses_of
from ldyn.theory.token_statistics import token_statistics

Pairs = Mapping[str, EncodedPair]


def kernel_table(
    model: PreTrainedModel,
    observed: Observed,
    pairs: Pairs,
    view: Sequence[str],
    settings: DecompositionConfig,
    seed: int,
) -> pd.DataFrame:
    """‖K‖_F between each response of some examples and what a stage trains on for that question: y⁺, or y⁺ and y⁻.

    ``seed``: of the random projections; another one for every moment, so that noise does not pass for stability.
    Columns: example_id, probe, updated, norm, standard_error, per_pair.
    """
    rows: list[dict[str, Any]] = []
    examples = [one for one in observed.examples if one.example_id in pairs][: settings.kernel_examples]
    for number, example in enumerate(examples):
        responses = [Response(example.prompt_ids, ids) for ids in example.responses.values()]
        for side in (side for side in SIDES if side in view):
            updated = responses_of(pairs[example.example_id], side)
            norms = _norms(model, responses, updated, settings.projections, seed + number)
            rows += [
                {
                    "example_id": example.example_id,
                    "probe": probe,
                    "updated": side,
                    "norm": norm.norm,
                    "standard_error": norm.standard_error,
                    "per_pair": norm.per_pair,
                }
                for probe, norm in zip(example.responses, norms, strict=True)
            ]
    return pd.DataFrame(rows)


def _norms(
    model: PreTrainedModel, responses: Sequence[Response], updated: Response, projections: int, seed: int
) -> list[KernelNorm]:
    try:
        return kernel_norms(model, responses, updated, projections=projections, seed=seed)
    except (NotImplementedError, RuntimeError) as error:
        if not lacks_forward_mode(error):
            raise
        raise ModelError(
            f"Norms of the kernel need forward mode, which {type(model).__name__} lacks; leave them out with "
            "decompose.kernel_examples=0."
        ) from error


INFLUENCE_PROBES = ("chosen", "rejected", "chosen_gptsemantic", "irr_train")
"""Responses whose tokens are resolved: what is trained, one that resembles it, one that is true of another question."""


def influence_table(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    observed: Observed,
    pairs: Pairs,
    stage: StageInfo,
    settings: DecompositionConfig,
) -> pd.DataFrame:
    """The exact level for the first examples: what each token of y⁺ and y⁻ does to each token of some responses.

    Of a step of plain gradient descent on that pair alone, for η c = 1, and −1 at y⁻ where the loss compares the two.
    Columns: example_id, probe, side, observed_token, updated_token (indices), observed_text, updated_text, influence,
    a_norm (‖A_m‖_F), g_norm (‖G_l‖).
    """
    frames = []
    for example in [one for one in observed.examples if one.example_id in pairs][: settings.influence_examples]:
        seen = {probe: Response(example.prompt_ids, ids) for probe, ids in _resolved(example).items()}
        pair = pairs[example.example_id]
        signs = {side: -1.0 if stage.kind == "pairwise" and side == "rejected" else 1.0 for side in SIDES}
        trained = [UpdatedResponse(pair.pair_id, s, responses_of(pair, s), signs[s]) for s in SIDES if s in stage.view]
        found = influence(model, list(seen.values()), trained, learning_rate=1.0, limit_gib=settings.limit_gib)
        stats = token_statistics(model, [*seen.values(), *(one.response for one in trained)], settings.token_budget)
        for i, (probe, response) in enumerate(seen.items()):
            for j, update in enumerate(trained):
                texts = (_texts(tokenizer, response), _texts(tokenizer, update.response))
                g_norm = abs(update.coefficient) * stats[len(seen) + j].residual_norm
                frame = _block_frame(found.block(i, j), texts, stats[i].a_norm, g_norm)
                frames.append(frame.assign(example_id=example.example_id, probe=probe, side=update.side))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def check_influence_memory(
    model: PreTrainedModel, observed: Observed, pairs: Pairs, settings: DecompositionConfig
) -> None:
    """Raise ModelError, before any step is taken, if the exact level needs more than its limit."""
    for example in [one for one in observed.examples if one.example_id in pairs][: settings.influence_examples]:
        pair = pairs[example.example_id]
        tokens = sum(map(len, (*_resolved(example).values(), pair.chosen_ids, pair.rejected_ids)))
        check_memory(model, tokens, settings.limit_gib)


def _resolved(example: EncodedProbeExample) -> dict[str, tuple[int, ...]]:
    return {probe: ids for probe, ids in example.responses.items() if probe in INFLUENCE_PROBES}


def _texts(tokenizer: PreTrainedTokenizerBase, response: Response) -> list[str]:
    return [str(tokenizer.decode([token])) for token in response.response_ids]


def _block_frame(
    block: torch.Tensor, texts: tuple[list[str], list[str]], a_norm: torch.Tensor, g_norm: torch.Tensor
) -> pd.DataFrame:
    places = list(product(range(block.shape[0]), range(block.shape[1])))
    return pd.DataFrame(
        {
            "observed_token": [m for m, _ in places],
            "updated_token": [k for _, k in places],
            "observed_text": [texts[0][m] for m, _ in places],
            "updated_text": [texts[1][k] for _, k in places],
            "influence": block.flatten().tolist(),
            "a_norm": [float(a_norm[m]) for m, _ in places],
            "g_norm": [float(g_norm[k]) for _, k in places],
        }
    )
