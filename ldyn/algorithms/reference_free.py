"""Pairwise losses that know no reference: nothing but their own form keeps the policy where it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ldyn.algorithms.functions import log_sigmoid
from ldyn.algorithms.record import Algorithm, Parameter, Responses

if TYPE_CHECKING:
    from torch import Tensor


def simpo_loss(chosen: Responses, rejected: Responses, *, beta: float, margin: float) -> Tensor:
    """−log σ(β(s₊/|y⁺| − s₋/|y⁻|) − γ), Meng et al. 2024 (arXiv 2405.14734), equation 6. [B], nats.

    c₊ = β(1 − a)/|y⁺|, c₋ = −β(1 − a)/|y⁻|, with a = σ(β(s₊/|y⁺| − s₋/|y⁻|) − γ).
    """
    return -log_sigmoid(beta * (chosen.logp_per_token - rejected.logp_per_token) - margin)


SIMPO = Algorithm(
    "simpo",
    "pairwise",
    simpo_loss,
    "simple preference optimisation: log-probs per token, a target margin, no reference",
    parameters={
        "beta": Parameter(default=2.0, low=0.0, meaning="β, the scale of the reward per token"),
        "margin": Parameter(default=1.0, low=0.0, closed="left", meaning="γ, the margin to be reached"),
    },
)
