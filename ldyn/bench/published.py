"""The published method (Ren and Sutherland's code), done again as a yardstick.

For each response one forward pass of batch 1 over prompt and response, with the logits of every position, and the
statistics from whole tensors of V columns, of which several live at a time: the log-softmax, the softmax, the one-hot
labels (in int64, as torch makes them) and their difference to the softmax. The prompt's positions are computed like the
others and masked at the end. What that code got wrong in a number (the epsilon inside the logarithm, ‖A‖_F from a mean
of norms) is kept where it costs the same work, since only time, memory and log-probabilities are compared.

Their evaluation does this for each response and nothing besides: in evaluation mode, without gradients, in float32, at
a default batch of 1 (which its comments ask to keep) and so without padding; one forward pass and one call of the
statistics, and the reference policy has no part in it. The model is today's: GPT-NeoX of the transformers release that
they pinned (4.29.2) writes its attention scores out, that of today uses fused attention, which favours the yardstick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from transformers import PreTrainedModel

from ldyn.records import EncodedProbeExample

_EPSILON = 1e-100  # as published; in float32 it is 0


@dataclass(frozen=True, slots=True)
class PublishedStatistics:
    """One value for each row of a batch: sums over response tokens of the first three, means of the others."""

    logp: Tensor
    logp_argmax: Tensor
    log_mass_rest: Tensor
    a_norm: Tensor
    residual_norm: Tensor
    energy: Tensor


def score_published(model: PreTrainedModel, examples: Sequence[EncodedProbeExample]) -> list[float]:
    """log π(y|x) of every response, in order."""
    return [
        score_response(model, example.prompt_ids, response).logp.item()
        for example in examples
        for response in example.responses.values()
    ]


@torch.no_grad()
def score_response(model: PreTrainedModel, prompt: tuple[int, ...], response: tuple[int, ...]) -> PublishedStatistics:
    """One forward pass with all defaults (a key-value cache is built, too), and the statistics."""
    ids = torch.tensor([[*prompt, *response]], device=model.device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.to(torch.float32)
    is_response = torch.arange(ids.shape[1], device=ids.device)[None] >= len(prompt)
    return published_statistics(logits, ids, is_response)


def published_statistics(logits: Tensor, ids: Tensor, is_response: Tensor) -> PublishedStatistics:
    """``logits`` [B, S, V], ``ids`` and ``is_response`` [B, S]. Every tensor of V columns lives until the return."""
    logits, mask = logits[:, :-1], is_response[:, 1:]
    labels = ids[:, 1:].masked_fill(~mask, 0)[..., None]
    n_labels, vocabulary_size = mask.sum(-1), logits.shape[-1]

    log_softmax = logits.log_softmax(-1)
    logp = log_softmax.gather(-1, labels).squeeze(-1)
    logp_argmax = log_softmax.gather(-1, logits.argmax(-1, keepdim=True)).squeeze(-1)
    softmax = logits.softmax(-1)
    mass_rest = (1 - logp_argmax.exp()) * mask
    prob_norm = torch.linalg.vector_norm(softmax, dim=-1)
    one_hot_labels = one_hot(labels.squeeze(-1), vocabulary_size)
    residual_norm = torch.linalg.vector_norm(softmax - one_hot_labels, dim=-1)
    p_label = softmax.gather(-1, labels).squeeze(-1)

    return PublishedStatistics(
        logp=(logp * mask).sum(-1),
        logp_argmax=(logp_argmax * mask).sum(-1),
        log_mass_rest=((mass_rest + _EPSILON).log() * mask).sum(-1),
        a_norm=(vocabulary_size * ((prob_norm * mask).sum(-1) / n_labels).square() + vocabulary_size - 2).sqrt(),
        residual_norm=(residual_norm * mask).sum(-1) / n_labels,
        energy=((1 - p_label) * mask).sum(-1) / n_labels,
    )
