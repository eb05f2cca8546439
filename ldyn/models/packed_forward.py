"""One forward pass over packed rows, and which models take their mask."""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from ldyn.models.document_attention import parts_of, takes_documents
from ldyn.models.evaluation import unwrapped
from ldyn.models.packing import PADDING, PackedBatch, may_attend

MASKED_ATTENTION = ("sdpa", "eager")
MASKED_LAYERS = ("full_attention", "sliding_attention")


def rule_size(model: PreTrainedModel) -> float:
    """h in the rules for the length of rows: infinite where a longer row costs no attention."""
    return math.inf if takes_documents(model) else float(model.config.get_text_config().hidden_size)


def model_inputs(batch: PackedBatch, model: PreTrainedModel) -> dict[str, Any]:
    """Of the unwrapped model's forward pass, on the batch's device.

    A single row goes by documents where the model takes them. Else the mask is additive, which serves sdpa and eager
    attention alike, with the lowest finite value, not −inf, as transformers does. With plain rows the model makes its
    causal mask and its positions itself.
    """
    if batch.position_ids is None:
        return {"input_ids": batch.input_ids, "attention_mask": (batch.segments != PADDING).long()}
    inputs = {"input_ids": batch.input_ids, "position_ids": batch.position_ids}
    if len(batch.input_ids) == 1 and takes_documents(model):
        # A mask that is there keeps transformers from making its own; of this size it is an error wherever it is used.
        return {**inputs, "attention_mask": torch.empty(1, 1, 0, 0), "documents": parts_of(batch.documents)}
    allowed = may_attend(batch)[:, None]  # [B, 1, S, S]
    mask = torch.zeros(allowed.shape, dtype=model.dtype, device=allowed.device)
    mask.masked_fill_(~allowed, torch.finfo(model.dtype).min)
    return {**inputs, "attention_mask": mask}


def needed_logits(model: nn.Module, batch: PackedBatch) -> Tensor:
    """Logits [U, V] of the needed tokens, from one pass of the model's own. The batch is on the model's device.

    ``model`` may be wrapped (DDP, FSDP, PEFT), as the output embeddings are reached from inside the pass.
    """
    inner = unwrapped(model)

    def select(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0].flatten(0, 1)[batch.needed][None],)

    hook = inner.get_output_embeddings().register_forward_pre_hook(select)
    try:
        logits: Tensor = model(**model_inputs(batch, inner), use_cache=False).logits[0]
    finally:
        hook.remove()
    return logits


def why_plain(model: PreTrainedModel, longest: int) -> str:
    """Why a model gets plain rows; empty if its attention takes any mask and it takes any position ids.

    ``model``: unwrapped. ``longest``: tokens of the longest prompt with one response. Wherever this is not certain rows
    are plain: otherwise numbers would be wrong without an error.
    """
    config = model.config.get_text_config()
    if config._attn_implementation not in MASKED_ATTENTION:
        return f"the model's attention is {config._attn_implementation!r}, which takes no mask of its own for each row"
    others = set(getattr(config, "layer_types", None) or ()) - set(MASKED_LAYERS)
    if model._is_stateful:
        return "the model carries a state from token to token, whatever the mask"
    if others:
        return f"the model has layers that no attention mask reaches ({', '.join(sorted(others))})"
    if not takes(model, "position_ids") or getattr(config, "alibi", False):
        return "the model takes no position ids"
    if longest > attention_window(config):
        return f"the model's attention sees {attention_window(config)} tokens back, and the longest text has {longest}"
    return ""


@functools.cache
def warn_once(message: str) -> None:
    warnings.warn(message, stacklevel=2)


def attention_window(config: PreTrainedConfig) -> float:
    """How far back every layer sees, in tokens; infinite where all of them see everything."""
    if "sliding_attention" not in (getattr(config, "layer_types", None) or ("sliding_attention",)):
        return math.inf
    return getattr(config, "sliding_window", None) or math.inf


def takes(model: nn.Module, argument: str) -> bool:
    """Whether the forward pass of the unwrapped ``model`` has an argument of this name."""
    return argument in inspect.signature(type(model).forward).parameters
