"""One forward pass over a batch of rows: statistics of its response tokens, and nothing of V columns outlives them.

Where the logits come from depends on whether the model's *head is known* (``ldyn.models.evaluation``):

    known head      hidden states of all tokens, then logits of the needed ones, a chunk at a time
    any other head  the model's own forward pass, which makes the logits of all needed tokens at once
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ldyn.models.evaluation import has_known_head, hidden_states, unembed
from ldyn.models.packed_forward import model_inputs, needed_logits
from ldyn.models.packing import PackedBatch
from ldyn.numerics.token_stats import TokenStats, joined, selected, token_stats

FEWEST_TOKENS = 16
"""A smaller budget changes nothing: rows hold one response, and logits are made of so many tokens at a time."""

# Positions whose logits are made at a time. A matrix product of so many rows runs at full rate, and at V = 50,304 the
# float32 logits take 50 MiB on a CPU; an accelerator needs larger ones.
CPU_CHUNK, ACCELERATOR_CHUNK = 256, 4096


def batch_stats(
    model: PreTrainedModel, batch: PackedBatch, *, token_budget: int, watched: Tensor | int = 0
) -> TokenStats:
    """Statistics of the batch's N response tokens, in their order; ``watched`` as in ``token_stats``.

    ``token_budget`` also bounds the positions whose logits are made at a time.
    """
    if has_known_head(model):
        return _in_chunks(model, batch, _chunk_size(model.device, token_budget), watched)
    return _at_once(model, batch, watched)


def _chunk_size(device: torch.device, token_budget: int) -> int:
    return max(FEWEST_TOKENS, min(token_budget, CPU_CHUNK if device.type == "cpu" else ACCELERATOR_CHUNK))


def _in_chunks(model: PreTrainedModel, batch: PackedBatch, chunk: int, watched: Tensor | int) -> TokenStats:
    moved = batch.to(model.device)
    hidden = hidden_states(model, **model_inputs(moved, model.dtype)).flatten(0, 1)
    hidden = hidden[moved.needed]  # [U, h]; the other tokens' are freed
    order = batch.rows.argsort(stable=True)  # labels by the position that predicts them: a chunk has a run of them
    starts = torch.arange(0, len(hidden), chunk)
    of_chunks = order.tensor_split(torch.searchsorted(batch.rows[order], starts[1:]))
    parts = []
    for start, places in zip(starts.tolist(), of_chunks, strict=True):
        logits = unembed(model, hidden[start : start + chunk])
        rows, labels = (values[places].to(logits.device) for values in (batch.rows - start, batch.labels))
        of_chunk = watched if isinstance(watched, int) else watched[places].to(logits.device)
        parts.append(token_stats(logits, labels, rows=rows, watched=of_chunk))
    stats = joined(parts)
    return selected(stats, order.argsort().to(stats.logp.device))


def _at_once(model: PreTrainedModel, batch: PackedBatch, watched: Tensor | int) -> TokenStats:
    moved = batch.to(model.device)
    watched = watched if isinstance(watched, int) else watched.to(model.device)
    return token_stats(needed_logits(model, moved), moved.labels, rows=moved.rows, watched=watched)
