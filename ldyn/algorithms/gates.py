"""Gate-DPO (arXiv 2605.02626): reduce the push on rejected responses that are already unlikely, under any loss.

The rejected log-prob s₋ is replaced by sg(s₋) + g (s₋ − sg(s₋)), with sg the stop-gradient. The loss keeps its value
and the chosen side its gradient; the residual coefficient at y⁻ is multiplied by the gate

    g = σ(α(p − τ)),   p: a detached probability of y⁻ per token, τ: the threshold, α: how sharply the gate closes,

one value for each pair. Two p are offered: the geometric mean of the response's token probabilities, and their 10 %
quantile, which closes the gate for a response that has a few very unlikely tokens among likely ones.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ldyn.algorithms.record import Algorithm, Parameter, Responses

if TYPE_CHECKING:
    from torch import Tensor

QUANTILE = 0.1


@dataclass(frozen=True)
class Gate:
    """A gate for any pairwise loss: ``probability`` of rejected responses, [B]; default threshold τ and sharpness α.

    ``prefix`` goes before the name of an algorithm that has this gate.
    """

    name: str
    prefix: str
    probability: Callable[[Responses], Tensor]
    parameters: Mapping[str, Parameter]


def geometric_mean(responses: Responses) -> Tensor:
    """exp(s / |y|), the geometric mean of the token probabilities. [B], detached."""
    return responses.logp_per_token.detach().exp()


def low_quantile(responses: Responses) -> Tensor:
    """The 10 % quantile of the token probabilities, linear between order statistics. [B], detached."""
    assert responses.token_logps is not None
    assert responses.token_mask is not None
    probabilities = responses.token_logps.detach().exp().masked_fill(~responses.token_mask, math.nan)
    return probabilities.nanquantile(QUANTILE, dim=1)


def _parameters(threshold: float, sharpness: float) -> Mapping[str, Parameter]:
    return {
        "threshold": Parameter(threshold, low=0.0, high=1.0, closed="both", meaning="τ, where the gate is half open"),
        "sharpness": Parameter(sharpness, low=0.0, meaning="α, how sharply the gate closes below the threshold"),
    }


# With the defaults a gate is closed where rejected responses are rare, as in the microworld (p about 0.001 a token).
GATES: Mapping[str, Gate] = {
    gate.name: gate
    for gate in (
        Gate("sequence", "gate", geometric_mean, _parameters(0.5, 20.0)),
        Gate("quantile", "quantile_gate", low_quantile, _parameters(0.1, 50.0)),
    )
}


def gated(algorithm: Algorithm, gate: Gate) -> Algorithm:
    """The pairwise ``algorithm`` behind ``gate``; its parameters and, with "gate_" in front, the gate's."""

    @functools.wraps(algorithm.loss)
    def loss(
        chosen: Responses, rejected: Responses, *, gate_threshold: float, gate_sharpness: float, **parameters: float
    ) -> Tensor:
        opening = (gate_sharpness * (gate.probability(rejected) - gate_threshold)).sigmoid()
        still = rejected.logp.detach()
        passed = replace(rejected, logp=still + opening * (rejected.logp - still))
        return algorithm.loss(chosen, passed, **parameters)

    gate_parameters = {f"gate_{name}": parameter for name, parameter in gate.parameters.items()}
    return replace(
        algorithm,
        name=f"{gate.prefix}_{algorithm.name}",
        loss=loss,
        parameters={**algorithm.parameters, **gate_parameters},
    )
