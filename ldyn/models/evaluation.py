"""Score with a model: without gradients or dropout, hidden states apart from logits.

With hidden states and logits apart, the V logits of a token exist only while its statistics are taken. That is right
only where it is known what a model does to its logits after the output embeddings (some divide or bound them): for the
model types of the two sets below. For any other the caller uses the model's own forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from ldyn.errors import ModelError


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """No dropout, no gradients and no autocast of accelerate's in this block; afterwards all is as it was before.

    accelerate replaces the ``forward`` of a model that is trained in bf16; without it every model is scored in the
    precision of its weights, whether its head is known or not.
    """
    was_training = [module for module in model.modules() if module.training]
    autocast = [module for module in model.modules() if {"forward", "_original_forward"} <= vars(module).keys()]
    forwards = [vars(module).pop("forward") for module in autocast]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, forward in zip(autocast, forwards, strict=True):
            module.forward = forward
        for module in was_training:
            module.training = True


PLAIN_HEADS = frozenset({"gemma", "gpt2", "gpt_neox", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3"})
"""Model types whose logits are the values of the output embeddings."""

SOFTCAPPED_HEADS = frozenset({"gemma2", "gemma3_text"})
"""Model types with logits c · tanh(z / c), c = config.final_logit_softcapping, where that is set."""


def unwrapped(model: nn.Module) -> PreTrainedModel:
    """The transformers model inside wrappers that do not change what it computes: DDP's, torch.compile's, PEFT's.

    Raises ModelError for PEFT methods that add tokens to the prompt: they live in the wrapper.
    """
    if isinstance(model, DistributedDataParallel):
        return unwrapped(model.module)
    if hasattr(model, "_orig_mod"):  # of torch.compile
        return unwrapped(cast("nn.Module", model._orig_mod))
    if hasattr(model, "get_base_model") and not is_sharded(model):  # a PeftModel; peft itself need not be installed
        adapted: Any = model
        if (found := adapted.active_peft_config).is_prompt_learning:
            kind = found.peft_type
            raise ModelError(f"The model is adapted by {kind}, which adds tokens to prompts; use LoRA or its like.")
        return unwrapped(adapted.get_base_model())
    return cast("PreTrainedModel", model)


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP has spread the weights over processes: then all of them must run each forward pass together."""
    if not distributed.is_initialized():
        return False
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel  # takes a second

    return any(isinstance(module, (FSDPModule, FullyShardedDataParallel)) for module in model.modules())


def has_known_head(model: PreTrainedModel) -> bool:
    """Whether the halves give the model's own logits: a known head, and no FSDP, which gathers weights for a whole."""
    return model.config.model_type in PLAIN_HEADS | SOFTCAPPED_HEADS and not is_sharded(model)


def hidden_states(model: PreTrainedModel, **inputs: Any) -> Tensor:
    """[B, S, h], what the output embeddings are applied to. ``inputs`` are those of the model's forward pass."""
    hidden: Tensor = model.base_model(**inputs, use_cache=False).last_hidden_state
    return hidden


def unembed(model: PreTrainedModel, hidden: Tensor, out: Tensor | None = None) -> Tensor:
    """Logits [N, V] of ``hidden`` [N, h]; the model must have a known head.

    out: [at least N, V], into which they are written where the head is a bare product and no gradient is kept: on a CPU
    the memory of a new tensor of this size costs about a quarter of the product's time.
    """
    head = model.get_output_embeddings()
    hooks = head._forward_hooks or head._forward_pre_hooks
    is_bare = type(head) is nn.Linear and getattr(head, "bias", None) is None and not hooks
    if out is not None and is_bare and not torch.is_grad_enabled():
        logits = torch.mm(hidden, head.weight.t(), out=out[: len(hidden)])
    else:
        logits = head(hidden)
    cap = model.config.final_logit_softcapping if model.config.model_type in SOFTCAPPED_HEADS else None
    return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)  # in its dtype, as the model does it
