"""One forward pass over a batch of rows, and one score for each of its responses; no V columns outlive it.

Where the logits come from depends on whether the model's *head is known* (``ldyn.models.evaluation``):

    known head      hidden states of all tokens, then logits of the needed ones, a chunk at a time
    any other head  the model's own forward pass, which makes the logits of all needed tokens at once
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from ldyn.models.evaluation import has_known_head, hidden_states, unembed
from ldyn.models.packed_forward import model_inputs, needed_logits
from ldyn.models.packing import PackedBatch
from ldyn.numerics.token_stats import TokenStats, joined, selected, token_stats
from ldyn.probes.rows import ResponseKey
from ldyn.records import EncodedProbeExample, ProbeScore

FEWEST_TOKENS = 16
"""A smaller budget changes nothing: rows hold one response, and logits are made of so many tokens at a time."""

# Positions whose logits are made at a time. A matrix product of so many rows runs at full rate, and at V = 50,304 the
# float32 logits take 100 MiB on a CPU; an accelerator needs larger ones.
CPU_CHUNK, ACCELERATOR_CHUNK = 512, 4096

SUMS = ("logp", "logp_argmax", "log_mass_rest")
MEANS = ("entropy", "prob_norm_sq", "a_norm", "residual_norm", "p_label", "argmax_is_label")


def batch_stats(model: PreTrainedModel, batch: PackedBatch, *, token_budget: int) -> TokenStats:
    """Statistics of the batch's N response tokens, in their order.

    ``token_budget`` also bounds the positions whose logits are made at a time.
    """
    moved = batch.to(model.device)
    if not has_known_head(model):
        return token_stats(needed_logits(model, moved), moved.labels, rows=moved.rows)
    most = CPU_CHUNK if model.device.type == "cpu" else ACCELERATOR_CHUNK
    chunk = max(FEWEST_TOKENS, min(token_budget, most))
    hidden = hidden_states(model, **model_inputs(moved, model)).flatten(0, 1)
    hidden = hidden[moved.needed]  # [U, h]; the other tokens' are freed
    order = batch.rows.argsort(stable=True)  # labels by the position that predicts them: a chunk has a run of them
    starts = torch.arange(0, len(hidden), chunk)
    of_chunks = order.tensor_split(torch.searchsorted(batch.rows[order], starts[1:]))
    parts, out = [], hidden.new_empty(min(chunk, len(hidden)), model.get_output_embeddings().weight.shape[0])
    for start, places in zip(starts.tolist(), of_chunks, strict=True):
        logits = unembed(model, hidden[start : start + chunk], out)
        rows, labels = (values[places].to(logits.device) for values in (batch.rows - start, batch.labels))
        parts.append(token_stats(logits, labels, rows=rows))
    stats = joined(parts)
    return selected(stats, order.argsort().to(stats.logp.device))


def scores_of(
    batch: PackedBatch, stats: TokenStats, examples: Sequence[EncodedProbeExample]
) -> Iterator[tuple[ResponseKey, ProbeScore]]:
    """One score for each response; NaN throughout where a logit of any of its tokens was not finite."""
    starts = np.cumsum((0, *batch.lengths[:-1]))
    per_token = {name: getattr(stats, name).double().cpu().numpy() for name in (*SUMS, *MEANS)}
    sums = {name: np.add.reduceat(values, starts) for name, values in per_token.items()}
    for number, ((index, probe), n_tokens) in enumerate(zip(batch.keys, batch.lengths, strict=True)):
        values = {name: float(sums[name][number]) / (1 if name in SUMS else n_tokens) for name in sums}
        if math.isnan(values["entropy"]):
            values = dict.fromkeys(values, math.nan)
        example = examples[index]
        yield (index, probe), ProbeScore(example.split, example.example_id, probe, n_tokens, **values)
