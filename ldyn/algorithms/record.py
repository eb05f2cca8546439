"""What an algorithm is: a loss on the log-probabilities of responses, and a declaration of what it needs.

Symbols: s = log π(y|x) summed over response tokens (``logp``), s^ref the same under the frozen reference
(``reference_logp``), |y| the number of response tokens (``lengths``, EOS counts). All in nats, one entry per example.
No module of this package imports torch at the top, so that a configuration is checked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor


Kind = Literal["pointwise", "pairwise", "groupwise"]


@dataclass(frozen=True)
class Responses:
    """The responses of a batch under the policy and, for a pairwise loss, under the reference.

    logp, reference_logp, lengths: shape [B]. mean_length: response tokens per example in the whole (global) batch,
    a scalar, for losses that average over tokens and not over examples.
    token_logps, token_mask: [B, T], log π of each response token (0 where the mask is False), for gates and weights.
    They carry no gradient: a loss moves the model through ``logp`` alone, so that all of its effect on the residuals
    π − e is one coefficient a response.
    progress: the share of the stage's planned updates that are made, in [0, 1), for losses that change as they go.
    """

    logp: Tensor
    lengths: Tensor
    mean_length: Tensor
    reference_logp: Tensor | None = None
    token_logps: Tensor | None = None
    token_mask: Tensor | None = None
    progress: float = 0.0

    @property
    def log_ratio(self) -> Tensor:
        """h = s − s^ref, shape [B]."""
        if self.reference_logp is None:
            raise ValueError("a pointwise loss has no reference log-probs; make it pairwise, or use logp alone")
        return self.logp - self.reference_logp

    @property
    def logp_per_token(self) -> Tensor:
        """s / |y|, shape [B]."""
        return self.logp / self.lengths


@dataclass(frozen=True)
class Parameter:
    """One number of a loss: its default, the range in which the loss makes sense, and what it means.

    ``closed`` names the ends that belong to the range: "neither", "left" (low), "right" (high) or "both".
    ``whole``: whether only whole numbers make sense.
    """

    default: float
    low: float = float("-inf")
    high: float = float("inf")
    closed: Literal["neither", "left", "right", "both"] = "neither"
    meaning: str = ""
    whole: bool = False

    @property
    def _has_ends(self) -> tuple[bool, bool]:
        return self.closed in ("left", "both"), self.closed in ("right", "both")

    def contains(self, value: float) -> bool:
        """Whether the value is a number of the range; NaN is in none."""
        if self.whole and value % 1:
            return False
        has_low, has_high = self._has_ends
        return self.low < value < self.high or (value == self.low and has_low) or (value == self.high and has_high)

    def __str__(self) -> str:
        left, right = ("(["[self._has_ends[0]], ")]"[self._has_ends[1]])
        meaning = f": {self.meaning}" if self.meaning else ""
        return f"a {'whole ' * self.whole}number in {left}{self.low:g}, {self.high:g}{right}{meaning}"


@dataclass(frozen=True)
class Algorithm:
    """A loss and what it needs. ``loss`` returns one value per example, shape [B]; the trainer takes the mean.

    kind "pointwise": ``loss(responses, **parameters)``; "pairwise": ``loss(chosen, rejected, **parameters)``;
    "groupwise": on groups of answers that are sampled as it trains; the loss is TRL's (see ``ldyn.algorithms.grpo``).
    options: settings that are names: name -> its values, the default first; a single value stands for any text.
    """

    name: str
    kind: Kind
    loss: Callable[..., Tensor]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def pairwise(name: str, loss: Callable[..., Tensor], **parameters: Parameter) -> Algorithm:
    return Algorithm(name, "pairwise", loss, parameters)


def log_sigmoid(values: Tensor) -> Tensor:
    from torch.nn.functional import logsigmoid

    return logsigmoid(values)
