"""SFT and the pairwise losses of the paper's table.

h± = s± − s±^ref is the log-ratio to the reference. Each docstring gives the residual coefficients c± = −∂ℓ/∂s±: the
loss's gradient on the logits is c₊ (π − e) at every token of y⁺ and c₋ (π − e) at every token of y⁻. SFT has c₊ = 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldyn.algorithms.record import Algorithm, Parameter, Responses, log_sigmoid, pairwise

if TYPE_CHECKING:
    from torch import Tensor


def negative_logp_sum(responses: Responses) -> Tensor:
    """−s: cross-entropy *summed* over the response's tokens, as in the paper (arXiv 2407.10490). [B], nats."""
    return -responses.logp


def negative_logp_token_mean(responses: Responses) -> Tensor:
    """−s / (mean response length of the batch), whose batch mean is Σ −s / Σ |y|, TRL's token mean. [B], nats."""
    return -responses.logp / responses.mean_length


BETA = Parameter(default=0.1, low=0.0, meaning="β, how closely the policy is held to its reference")


def dpo_loss(chosen: Responses, rejected: Responses, *, beta: float) -> Tensor:
    """−log σ(β(h₊ − h₋)), Rafailov et al. 2023 (arXiv 2305.18290), equation 7. [B], nats.

    c₊ = β(1 − a), c₋ = −β(1 − a), with a = σ(β(h₊ − h₋)).
    """
    return -log_sigmoid(beta * (chosen.log_ratio - rejected.log_ratio))


def cdpo_loss(chosen: Responses, rejected: Responses, *, beta: float, flip_rate: float) -> Tensor:
    """−(1 − ε) log σ(β(h₊ − h₋)) − ε log σ(−β(h₊ − h₋)): DPO where a share ε of the labels is wrong. [B], nats.

    Mitchell 2023, "A note on DPO with noisy preferences & relationship to IPO" (no arXiv number).
    c₊ = β((1 − ε)(1 − a) − ε a), c₋ = −c₊: both change sign where a exceeds 1 − ε.
    """
    margin = beta * (chosen.log_ratio - rejected.log_ratio)
    return -(1 - flip_rate) * log_sigmoid(margin) - flip_rate * log_sigmoid(-margin)


def ipo_loss(chosen: Responses, rejected: Responses, *, beta: float) -> Tensor:
    """(h₊ − h₋ − 1/(2β))², Azar et al. 2023 (arXiv 2310.12036), equation 17, with summed log-probs. [B], nats².

    c₊ = 2(1/(2β) − (h₊ − h₋)), c₋ = −c₊: beyond the margin of 1/(2β) nats the pair is drawn together again.
    """
    return (chosen.log_ratio - rejected.log_ratio - 1 / (2 * beta)).square()


def ipo_length_normalised_loss(chosen: Responses, rejected: Responses, *, beta: float) -> Tensor:
    """(h₊/|y⁺| − h₋/|y⁻| − 1/(2β))², IPO on means per token, as in TRL. [B], (nats per token)².

    c₊ = 2m/|y⁺|, c₋ = −2m/|y⁻|, with m = 1/(2β) − (h₊/|y⁺| − h₋/|y⁻|).
    """
    per_token = chosen.log_ratio / chosen.lengths - rejected.log_ratio / rejected.lengths
    return (per_token - 1 / (2 * beta)).square()


def slic_loss(chosen: Responses, rejected: Responses, *, beta: float) -> Tensor:
    """max(0, 1 − β(h₊ − h₋)), the hinge of SLiC (arXiv 2305.10425) on log-ratios, as in RSO (2309.06657). [B].

    c₊ = β where β(h₊ − h₋) < 1, else 0; c₋ = −c₊.
    """
    return (1 - beta * (chosen.log_ratio - rejected.log_ratio)).relu()


def sppo_loss(chosen: Responses, rejected: Responses, *, beta: float) -> Tensor:
    """(h₊ − 1/(2β))² + (h₋ + 1/(2β))², Wu et al. 2024 (arXiv 2405.00675), with win probabilities 1 and 0. [B], nats².

    c₊ = 2(1/(2β) − h₊), c₋ = −2(1/(2β) + h₋): each response is drawn to a target of its own.
    """
    target = 1 / (2 * beta)
    return (chosen.log_ratio - target).square() + (rejected.log_ratio + target).square()


LOSSES = (
    Algorithm("sft", "pointwise", negative_logp_sum),
    Algorithm("sft_token_mean", "pointwise", negative_logp_token_mean),
    pairwise("dpo", dpo_loss, beta=BETA),
    pairwise(
        "cdpo",
        cdpo_loss,
        beta=BETA,
        flip_rate=Parameter(0.1, low=0.0, high=0.5, closed="left", meaning="ε, the share of wrong labels"),
    ),
    pairwise("ipo", ipo_loss, beta=BETA),
    pairwise("ipo_length_normalised", ipo_length_normalised_loss, beta=BETA),
    pairwise("slic", slic_loss, beta=BETA),
    pairwise("sppo", sppo_loss, beta=BETA),
    # Chen et al. 2024 (arXiv 2401.01335): only the origin of the rejected responses differs from DPO
    pairwise("spin", dpo_loss, beta=BETA),
)
