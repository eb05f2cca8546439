"""One forward pass over a batch of rows: statistics of its response tokens, and nothing of V columns outlives them.

Two things depend on the model. Whether it *follows a mask of ours* decides the layout of the batch (``why_plain``);
whether its *head is known* (``ldyn.models.evaluation``) decides where the logits come from:

    known head      hidden states of all tokens, then logits of the needed ones, a chunk at a time
    any other head  the model's own forward pass, told which columns are needed (all of the batch's, at once)
"""

from __future__ import annotations

import inspect
import math

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from ldyn.models.evaluation import has_known_head, hidden_states, unembed
from ldyn.numerics.token_stats import TokenStats, joined, selected, token_stats
from ldyn.probes.packing import NO_SEGMENT, PackedBatch, may_attend

FEWEST_TOKENS = 16
"""A smaller budget changes nothing: rows hold one response, and logits are made of so many tokens at a time."""
MASKED_ATTENTION = ("sdpa", "eager")
MASKED_LAYERS = ("full_attention", "sliding_attention")

# Positions whose logits are made at a time. A matrix product of so many rows runs at full rate, and at V = 50,304 the
# float32 logits take 50 MiB on a CPU; an accelerator needs larger ones.
CPU_CHUNK, ACCELERATOR_CHUNK = 256, 4096


def why_plain(model: PreTrainedModel, longest: int) -> str:
    """Why rows must be laid out plainly, or "" if the model follows any attention mask and any position ids.

    ``longest``: tokens of the longest prompt with one response. Wherever this is not certain rows are plain: otherwise
    scores would be wrong without an error.
    """
    config = model.config.get_text_config()
    if config._attn_implementation not in MASKED_ATTENTION:
        return f"the model's attention is {config._attn_implementation!r}, which takes no mask of its own for each row"
    others = set(getattr(config, "layer_types", None) or ()) - set(MASKED_LAYERS)
    if model._is_stateful:
        return "the model carries a state from token to token, whatever the mask"
    if others:
        return f"the model has layers that no attention mask reaches ({', '.join(sorted(others))})"
    if not _takes(model, "position_ids") or getattr(config, "alibi", False):
        return "the model takes no position ids"
    if longest > attention_window(config):
        return f"the model's attention sees {attention_window(config)} tokens back, and {longest} are to be scored"
    return ""


def attention_window(config: PreTrainedConfig) -> float:
    """How far back every layer sees, in tokens; infinite where all of them see everything."""
    if "sliding_attention" not in (getattr(config, "layer_types", None) or ("sliding_attention",)):
        return math.inf
    return getattr(config, "sliding_window", None) or math.inf


def _takes(model: PreTrainedModel, argument: str) -> bool:
    """Whether the forward pass has an argument of this name. (FSDP1's wrapper keeps the model in ``module``.)"""
    return argument in inspect.signature(getattr(model, "module", model).forward).parameters


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


def _inputs(model: PreTrainedModel, batch: PackedBatch) -> dict[str, Tensor]:
    """Tensors on the model's device. In a plain batch the model makes its causal mask and its positions itself."""
    ids, segments = batch.input_ids.to(model.device), batch.segments.to(model.device)
    if batch.position_ids is None:
        return {"input_ids": ids, "attention_mask": (segments != NO_SEGMENT).long()}
    allowed = may_attend(segments)[:, None]  # [B, 1, S, S]
    # Additive, which serves sdpa and eager attention alike; the lowest finite value, not −inf, as transformers does.
    mask = torch.zeros(allowed.shape, dtype=model.dtype, device=model.device)
    mask.masked_fill_(~allowed, torch.finfo(model.dtype).min)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": batch.position_ids.to(model.device)}


def _in_chunks(model: PreTrainedModel, batch: PackedBatch, chunk: int, watched: Tensor | int) -> TokenStats:
    hidden = hidden_states(model, **_inputs(model, batch)).flatten(0, 1)
    hidden = hidden[batch.needed.to(hidden.device)]  # [U, h]; the other tokens' are freed
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
    width = batch.input_ids.shape[1]
    columns, places = (batch.needed % width).unique(return_inverse=True)  # [C]
    if _takes(model, "logits_to_keep"):
        logits = model(**_inputs(model, batch), logits_to_keep=columns.to(model.device), use_cache=False).logits
    else:
        logits = model(**_inputs(model, batch), use_cache=False).logits[:, columns.to(model.device)]
    rows = (batch.needed // width * len(columns) + places)[batch.rows].to(logits.device)  # of [B · C, V]
    watched = watched if isinstance(watched, int) else watched.to(logits.device)
    return token_stats(logits.flatten(0, 1), batch.labels.to(logits.device), rows=rows, watched=watched)
