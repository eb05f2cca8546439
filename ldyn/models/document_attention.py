"""Attention of one packed row, document by document: no token is compared with those of another document or response.

A dense mask makes every token of a row of S tokens be compared with all S. Here a prompt sees itself, and a response
its prompt and itself, each in a product of its own. On a CPU that is faster from a certain size on; on an accelerator
the many small products would be slower, so it keeps the mask.

transformers passes a keyword argument of the forward pass on to its attention functions. The one registered here under
"sdpa" takes ``documents`` and is transformers' own where there are none, so no model is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

from ldyn.models.evaluation import PLAIN_HEADS
from ldyn.models.packing import Document

SMALLEST = 256
"""Hidden size from which on the products of a response take longer than calling one more function."""


@dataclass(frozen=True, slots=True)
class Part:
    """A prompt, or a response with what it sees: ``mask`` [n, P + n] over its prompt and itself, None for a prompt."""

    n_tokens: int
    mask: Tensor | None = None


def takes_documents(model: PreTrainedModel) -> bool:
    """Whether the model's attention is computed by documents: on a CPU, of a type that hands the argument down.

    Those of PLAIN_HEADS do, each by a test.
    """
    config = model.config.get_text_config()
    known = config.model_type in PLAIN_HEADS and config._attn_implementation == "sdpa"
    return known and model.device.type == "cpu" and config.hidden_size >= SMALLEST


def parts_of(documents: Sequence[Document]) -> list[Part]:
    """The parts of documents that follow each other in one row."""
    found = []
    for document in documents:
        n_prompt = len(document.prompt_ids)
        found.append(Part(n_prompt))
        lengths = map(len, document.responses)
        found += [Part(n, torch.ones(n, n_prompt + n, dtype=torch.bool).tril(n_prompt)) for n in lengths]
    return found


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    documents: Sequence[Part] | None = None,
    **how: Any,
) -> tuple[Tensor, None]:
    """[1, S, heads, d] of one row, from query [1, heads, S, d], key and value [1, key heads, S, d]."""
    if documents is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **how)
    groups, lengths = query.shape[1] // key.shape[1], [part.n_tokens for part in documents]
    found = []
    # Split, not sliced: the gradients of all parts come together in one tensor.
    for part, q, k, v in zip(documents, *(one.split(lengths, dim=2) for one in (query, key, value)), strict=True):
        if part.mask is None:
            prompt_k, prompt_v = k, v
        else:
            k, v = torch.cat([prompt_k, k], dim=2), torch.cat([prompt_v, v], dim=2)  # noqa: PLW2901
        seen = scaled_dot_product_attention(
            q,
            repeat_kv(k, groups),
            repeat_kv(v, groups),
            attn_mask=part.mask,
            dropout_p=how["dropout"],
            is_causal=part.mask is None,
            scale=how["scaling"],
        )
        found.append(seen.transpose(1, 2))
    return torch.cat(found, dim=1), None


AttentionInterface.register("sdpa", attention)
