"""The residual G: what a loss pushes, where, and how hard.

A loss ℓ(s₊, s₋) of summed log-probabilities s has ∂ℓ/∂z_l = (∂ℓ/∂s) (e_{y_l} − π_l) at every response token, so a
batch's loss L (the mean of ℓ over its examples) has the residual

    G_l = c (π_l − e_{y_l}),      c = −∂L/∂s,  one number for each response of the batch,

which ``ldyn.algorithms.residual_coefficients`` derives from any loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ldyn.theory.responses import Response

Side = Literal["chosen", "rejected"]


@dataclass(frozen=True, slots=True)
class UpdatedResponse:
    """χ_u: a response that an update trains on. ``coefficient`` is c above, positive where the response is pulled up.

    example_id: of the training pair it belongs to.
    """

    example_id: str
    side: Side
    response: Response
    coefficient: float
