"""Norms of A and of the residual at every token of a response, from its logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from ldyn.models.evaluation import evaluation_mode
from ldyn.numerics.token_stats import TokenStats, selected, token_stats
from ldyn.theory.responses import Response, batches, response_logits


def token_statistics(model: PreTrainedModel, responses: Sequence[Response], token_budget: int) -> list[TokenStats]:
    """The statistics of ``ldyn.numerics.token_stats`` for the tokens of each response: ‖A_m‖_F, ‖π_m − e_{y_m}‖, …"""
    found: dict[int, TokenStats] = {}
    with evaluation_mode(model):
        for indices, batch in batches(responses, token_budget, model.device):
            stats = token_stats(response_logits(model, {}, batch), batch.labels)
            places = torch.arange(len(batch.labels), device=batch.labels.device)
            found |= {i: selected(stats, place) for i, place in zip(indices, batch.split(places), strict=True)}
    return [found[index] for index in range(len(responses))]
