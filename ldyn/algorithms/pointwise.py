"""Losses that see one response at a time; the residual coefficient on (π − e_y) is 1, up to scale, at every token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldyn.algorithms.record import Algorithm, Responses

if TYPE_CHECKING:
    from torch import Tensor


def negative_logp_sum(responses: Responses) -> Tensor:
    """−s: cross-entropy *summed* over the response's tokens, as in the paper (arXiv 2407.10490). [B], nats."""
    return -responses.logp


def negative_logp_token_mean(responses: Responses) -> Tensor:
    """−s / (mean response length of the batch), whose batch mean is Σ −s / Σ |y|, TRL's token mean. [B], nats."""
    return -responses.logp / responses.mean_length


SFT = Algorithm("sft", "pointwise", negative_logp_sum, "cross-entropy summed over response tokens (the paper's SFT)")
SFT_TOKEN_MEAN = Algorithm(
    "sft_token_mean", "pointwise", negative_logp_token_mean, "cross-entropy averaged over response tokens (TRL's SFT)"
)
