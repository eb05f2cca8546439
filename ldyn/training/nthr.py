"""Token weights of NTHR: smaller penalties on tokens of wrong answers whose penalty would lower the right ones.

Deng et al. 2025 (arXiv 2505.18830), in a small version. With the residual r_l = e_{y_l} − π_l and the last hidden state
h_l of a token, its score is the inner product, in the gradient of the unembedding alone, with all tokens of the right
answers of its group:

    s_l = Σ_{i right} Σ_{l'} ⟨r_l, r_{i,l'}⟩ ⟨h_l, h_{i,l'}⟩.

Tokens of wrong answers with s_l > τ have weight η = 2 |p − 1/2|, p the share of right answers in the group; all other
tokens have 1. τ is the smallest mean score of the tokens of a right answer.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ldyn.models.evaluation import evaluation_mode, hidden_states, unembed, unwrapped


def nthr_weights(
    model: nn.Module, batch: Mapping[str, Tensor], correct: Tensor, group_size: int, temperature: float
) -> Tensor:
    """[B, T], a weight for each token of the answers in TRL's ``batch``; ``correct`` [B], groups are neighbours."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    length, policy = batch["completion_ids"].size(1), unwrapped(model)
    with evaluation_mode(policy):
        hidden = hidden_states(policy, input_ids=ids, attention_mask=mask)[:, -length - 1 : -1].float()
        weights = []
        for rows in torch.arange(len(ids), device=ids.device).split(group_size):
            labels, counts = batch["completion_ids"][rows], batch["completion_mask"][rows].bool()
            logits = unembed(policy, hidden[rows].flatten(0, 1).to(policy.dtype)).float() / temperature
            residuals = -logits.softmax(dim=-1).view(*labels.shape, -1)
            residuals.scatter_add_(2, labels[..., None], torch.ones_like(hidden[rows, :, :1]))
            weights.append(token_weights(residuals * counts[..., None], hidden[rows], counts, correct[rows]))
        return torch.cat(weights)


def token_weights(residuals: Tensor, hidden: Tensor, mask: Tensor, correct: Tensor) -> Tensor:
    """residuals [G, T, V], 0 where mask [G, T] is False; hidden [G, T, h]; correct [G] -> weights [G, T]."""
    weights = torch.ones_like(hidden[..., 0])
    if correct.all() or not correct.any():
        return weights
    of_right = torch.einsum("gtv,gth->vh", residuals[correct], hidden[correct])
    scores = torch.einsum("gtv,vh,gth->gt", residuals, of_right, hidden)
    threshold = ((scores * mask).sum(dim=1) / mask.sum(dim=1))[correct].min()
    penalised = (scores > threshold) & ~correct[:, None] & mask
    return weights.masked_fill(penalised, 2 * abs(correct.float().mean().item() - 0.5))
