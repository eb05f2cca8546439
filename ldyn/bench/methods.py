"""Ways to score the same responses with the same model: the published one and ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from transformers import PreTrainedModel

from ldyn.probes.engine import Tokens
from ldyn.probes.scorer import score_probes
from ldyn.records import EncodedProbeExample

Examples = Sequence[EncodedProbeExample]
_EPSILON = 1e-100  # as published; in float32 it is 0


def score_published(model: PreTrainedModel, examples: Examples, _token_budget: Tokens, _pad_id: int) -> list[float]:
    """Ren and Sutherland's evaluation, done again: one forward pass of batch 1 for each response.

    Logits of every position; what it got wrong in a number is kept where it costs the same work. One thing favours it:
    GPT-NeoX of the transformers release that they pinned (4.29.2) has no fused attention.
    """
    return [
        published_statistics(model, example.prompt_ids, response)["logp"].item()
        for example in examples
        for response in example.responses.values()
    ]


@torch.no_grad()
def published_statistics(
    model: PreTrainedModel, prompt: tuple[int, ...], response: tuple[int, ...]
) -> dict[str, Tensor]:
    """Sums of log-probabilities over response tokens, means of the rest. All tensors of V columns live to the end."""
    ids = torch.tensor([[*prompt, *response]], device=model.device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.to(torch.float32)[:, :-1]
    mask = torch.arange(1, ids.shape[1], device=ids.device)[None] >= len(prompt)
    labels = ids[:, 1:].masked_fill(~mask, 0)[..., None]
    n_labels, vocabulary_size = mask.sum(-1), logits.shape[-1]

    log_softmax = logits.log_softmax(-1)
    logp = log_softmax.gather(-1, labels).squeeze(-1)
    logp_argmax = log_softmax.gather(-1, logits.argmax(-1, keepdim=True)).squeeze(-1)
    softmax = logits.softmax(-1)
    prob_norm = torch.linalg.vector_norm(softmax, dim=-1)
    one_hot_labels = one_hot(labels.squeeze(-1), vocabulary_size)
    residual_norm = torch.linalg.vector_norm(softmax - one_hot_labels, dim=-1)
    return {
        "logp": (logp * mask).sum(-1),
        "logp_argmax": (logp_argmax * mask).sum(-1),
        "log_mass_rest": ((((1 - logp_argmax.exp()) * mask) + _EPSILON).log() * mask).sum(-1),
        "a_norm": (vocabulary_size * ((prob_norm * mask).sum(-1) / n_labels).square() + vocabulary_size - 2).sqrt(),
        "residual_norm": (residual_norm * mask).sum(-1) / n_labels,
        "energy": ((1 - softmax.gather(-1, labels).squeeze(-1)) * mask).sum(-1) / n_labels,
    }


def score_ours(model: PreTrainedModel, examples: Examples, token_budget: Tokens, pad_id: int) -> list[float]:
    return [score.logp for score in score_probes(model, examples, token_budget=token_budget, pad_id=pad_id)]


Score = Callable[[PreTrainedModel, Examples, Tokens, int], list[float]]
METHODS: dict[str, Score] = {"published": score_published, "ours": score_ours}
"""(model, examples, token budget, pad id) -> log π(y|x) of every response, in order."""
