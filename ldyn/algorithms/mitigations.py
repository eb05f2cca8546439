"""Pairwise losses that keep the chosen response from falling with the rejected one. Symbols as in ``losses``.

A gate, which weakens the push on a rejected response that is already unlikely, can be added to any: see ``gates``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldyn.algorithms.losses import BETA, dpo_loss
from ldyn.algorithms.record import Parameter, Responses, log_sigmoid, pairwise

if TYPE_CHECKING:
    from torch import Tensor


def simpo_loss(chosen: Responses, rejected: Responses, *, beta: float, margin: float) -> Tensor:
    """−log σ(β(s₊/|y⁺| − s₋/|y⁻|) − γ), Meng et al. 2024 (arXiv 2405.14734), equation 6. [B], nats.

    c₊ = β(1 − a)/|y⁺|, c₋ = −β(1 − a)/|y⁻|, with a = σ(β(s₊/|y⁺| − s₋/|y⁻|) − γ).
    """
    return -log_sigmoid(beta * (chosen.logp_per_token - rejected.logp_per_token) - margin)


def dpo_sft_loss(chosen: Responses, rejected: Responses, *, beta: float, sft_weight: float) -> Tensor:
    """DPO − λ s₊/|y⁺|, Pang et al. 2024 (arXiv 2404.19733): a positive pull is kept. [B], nats.

    c₊ = β(1 − a) + λ/|y⁺|, c₋ = −β(1 − a), with a = σ(β(h₊ − h₋)).
    """
    return dpo_loss(chosen, rejected, beta=beta) - sft_weight * chosen.logp_per_token


def dpop_loss(chosen: Responses, rejected: Responses, *, beta: float, penalty: float) -> Tensor:
    """−log σ(β(h₊ − h₋ − λ max(0, −h₊))), Pal et al. 2024 (arXiv 2402.13228). [B], nats.

    c₊ = β(1 − a)(1 + λ·1[h₊ < 0]), c₋ = −β(1 − a), a being the argument's sigmoid: where y⁺ is under the reference,
    the pull on it is 1 + λ times as strong.
    """
    shortfall = (-chosen.log_ratio).relu()
    return -log_sigmoid(beta * (chosen.log_ratio - rejected.log_ratio - penalty * shortfall))


def cal_dpo_loss(chosen: Responses, rejected: Responses, *, beta: float) -> Tensor:
    """−log σ(h₊ − h₋) + (h₊ − 1/(2β))² + (h₋ + 1/(2β))², Xiao et al. 2024 (arXiv 2412.14516). [B].

    c₊ = 1 − a + 2(1/(2β) − h₊), c₋ = −(1 − a) − 2(1/(2β) + h₋), with a = σ(h₊ − h₋): log-ratios get targets of their
    own, ±1/(2β) nats, so that the chosen one is pulled above its reference.
    """
    target = 1 / (2 * beta)
    calibration = (chosen.log_ratio - target).square() + (rejected.log_ratio + target).square()
    return -log_sigmoid(chosen.log_ratio - rejected.log_ratio) + calibration


def dpo_shift_loss(chosen: Responses, rejected: Responses, *, beta: float, rejected_weight: float) -> Tensor:
    """−log σ(β(h₊ − λ h₋)), Yang et al. 2025 (arXiv 2502.07599): the rejected side is shrunk. [B], nats.

    c₊ = β(1 − a), c₋ = −λβ(1 − a), with a = σ(β(h₊ − λ h₋)). λ = 1 is DPO.
    """
    return -log_sigmoid(beta * (chosen.log_ratio - rejected_weight * rejected.log_ratio))


def dpo_shift_linear_loss(
    chosen: Responses, rejected: Responses, *, beta: float, first_rejected_weight: float, last_rejected_weight: float
) -> Tensor:
    """DPO-Shift whose λ goes linearly, over the stage's updates, from its first to its last value. [B], nats."""
    weight = first_rejected_weight + chosen.progress * (last_rejected_weight - first_rejected_weight)
    return dpo_shift_loss(chosen, rejected, beta=beta, rejected_weight=weight)


def apo_zero_loss(chosen: Responses, rejected: Responses, *, beta: float) -> Tensor:
    """1 − σ(β h₊) + σ(β h₋), D'Oosterlinck et al. 2024 (arXiv 2408.06266), equation 7. [B].

    c₊ = β a₊(1 − a₊), c₋ = −β a₋(1 − a₋), with a± = σ(β h±): each response is weighed by itself, and let go once it
    is far from its reference. KTO (arXiv 2402.01306) is this with its reference point z₀ (a KL estimated on mismatched
    responses) in place of 0.
    """
    return (-beta * chosen.log_ratio).sigmoid() + (beta * rejected.log_ratio).sigmoid()


def nca_loss(chosen: Responses, rejected: Responses, *, beta: float) -> Tensor:
    """−log σ(β h₊) − ½ log σ(−β h₊) − ½ log σ(−β h₋), Chen et al. 2024 (arXiv 2402.05369), two responses. [B], nats.

    c₊ = β(1 − 3a₊/2), c₋ = −β a₋/2, with a± = σ(β h±): the chosen one is drawn to a target of its own, a₊ = 2/3.
    """
    chosen_reward, rejected_reward = beta * chosen.log_ratio, beta * rejected.log_ratio
    return -log_sigmoid(chosen_reward) - (log_sigmoid(-chosen_reward) + log_sigmoid(-rejected_reward)) / 2


def alphapo_loss(chosen: Responses, rejected: Responses, *, beta: float, margin: float, alpha: float) -> Tensor:
    """−log σ(β(r₊ − r₋) − γ), r = (1 − p^−α)/α, p = exp(s/|y|), Gupta et al. 2025 (arXiv 2501.03884). [B], nats.

    c₊ = β(1 − a) p₊^−α/|y⁺|, c₋ = −β(1 − a) p₋^−α/|y⁻|, a being the sigmoid: α > 0 weighs the rarer response more,
    α → 0 is SimPO.
    """

    def reward(one: Responses) -> Tensor:
        return -(-alpha * one.logp_per_token).expm1() / alpha if alpha else one.logp_per_token

    return -log_sigmoid(beta * (reward(chosen) - reward(rejected)) - margin)


def wpo_loss(chosen: Responses, rejected: Responses, *, beta: float) -> Tensor:
    """w₊ w₋ DPO, w = exp(s/|y|) without gradient, Zhou et al. 2024 (arXiv 2406.11827). [B], nats.

    c₊ = w₊ w₋ β(1 − a), c₋ = −c₊, with a = σ(β(h₊ − h₋)): pairs that the policy would write itself count more. The
    weights are not aligned: dividing each token's π by Σ_v π(v)² takes more than the log-probs of a pair.
    """
    weight = (chosen.logp_per_token + rejected.logp_per_token).detach().exp()
    return weight * dpo_loss(chosen, rejected, beta=beta)


def _rejected_weight(default: float, when: str = "") -> Parameter:
    meaning = f"λ{when}, what is left of the rejected side; 1 is DPO"
    return Parameter(default, low=0.0, high=1.0, closed="both", meaning=meaning)


_SCALE = Parameter(default=2.0, low=0.0, meaning="β, the scale of the reward per token")
_MARGIN = Parameter(default=1.0, low=0.0, closed="left", meaning="γ, the target margin")

MITIGATIONS = (
    pairwise("simpo", simpo_loss, beta=_SCALE, margin=_MARGIN),
    pairwise(
        "dpo_sft",
        dpo_sft_loss,
        beta=BETA,
        sft_weight=Parameter(1.0, low=0.0, closed="left", meaning="λ, the weight of the pull on y⁺"),
    ),
    pairwise(
        "dpop",
        dpop_loss,
        beta=BETA,
        penalty=Parameter(50.0, low=0.0, closed="left", meaning="λ, the penalty for y⁺ below its reference"),
    ),
    pairwise("cal_dpo", cal_dpo_loss, beta=BETA),
    pairwise("dpo_shift", dpo_shift_loss, beta=BETA, rejected_weight=_rejected_weight(0.75)),
    pairwise(
        "dpo_shift_linear",
        dpo_shift_linear_loss,
        beta=BETA,
        first_rejected_weight=_rejected_weight(0.75, " at the first update"),
        last_rejected_weight=_rejected_weight(1.0, " at the end of the stage"),
    ),
    pairwise("apo_zero", apo_zero_loss, beta=BETA),
    pairwise("nca", nca_loss, beta=BETA),
    pairwise(
        "alphapo", alphapo_loss, beta=_SCALE, margin=_MARGIN, alpha=Parameter(0.25, meaning="α, the reward's shape")
    ),
    pairwise("wpo", wpo_loss, beta=BETA),
)
