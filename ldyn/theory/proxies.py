"""The paper's proxies of the kernel's size, from log-probabilities alone (its Appendix C), computed correctly.

For a step of plain gradient descent with residual G over all updated tokens (η included, as `step` below), and a_m the
row of A_m at the label, ‖a_m‖ = ‖π_m − e_{y_m}‖:

    Δ_m = −a_mᵀ Σ_l K_{m,l} (η G_l)   so that, by Cauchy and Schwarz,   ‖K‖_F ≥ ‖(Δ_m / ‖a_m‖)_m‖ / ‖η G‖    (LBK)

The paper divides by ‖A_m‖_F in the place of ‖a_m‖: it bounds the change of all V log-probabilities, of which one is
used. As ‖a_m‖ ≤ ‖A_m‖_F, ours is the sharper one of two true bounds. SignDelta is Δ over the same norms, with its sign.

The published code takes the norm of the summed change over *examples*, divides by the square root of a mean of ‖A‖_F²
and by the mean of ‖π − e‖ along the observed response in the place of the updated one, and has no η.

Under another optimizer, Δ is no longer A·K·G but A·(J_o P J_uᵀ)·G with its step sizes P: LBK then bounds that kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Proxies:
    """lower_bound: LBK. paper_lower_bound: the same with ‖A_m‖_F. sign_delta: Σ_m Δ_m / ‖A_m‖_F / ‖ηG‖."""

    lower_bound: float
    paper_lower_bound: float
    sign_delta: float


def proxies(changes: Tensor, label_norms: Tensor, a_norms: Tensor, residual_norm: float) -> Proxies:
    """Of one observed response. ``changes``, ``label_norms`` ‖π_m − e‖, ``a_norms`` ‖A_m‖_F: [L_o]; a change is nats.

    residual_norm: ‖η G‖ over all tokens that the step updated.
    """
    smallest = torch.finfo(label_norms.dtype).tiny
    sharp = changes / label_norms.clamp_min(smallest)  # where π_m = e the change is 0 as well
    scaled = changes / a_norms
    return Proxies(
        lower_bound=float(sharp.norm()) / residual_norm,
        paper_lower_bound=float(scaled.norm()) / residual_norm,
        sign_delta=float(scaled.sum()) / residual_norm,
    )


def residual_norm(coefficients: Tensor, residuals: Tensor, learning_rate: float) -> float:
    """‖η G‖: ``coefficients`` c and ``residuals`` ‖π_l − e_{y_l}‖ of all updated tokens, both [N_u]."""
    return learning_rate * float((coefficients * residuals).norm())
