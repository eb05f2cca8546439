"""Log-probabilities of responses under a model, with gradients: what every loss is a function of.

Shapes: B sequences of S tokens, right-padded; ``response_mask`` [B, S] is 1 on response tokens (EOS included).
The logits at position t predict token t + 1, so the mask and the labels are shifted by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from trl.trainer.utils import selective_log_softmax

from ldyn.numerics.token_stats import response_residual_norms

QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


@dataclass(frozen=True)
class TokenLogps:
    """Responses token by token: [B, T], T the positions from the first that predicts a response token on.

    logps: log π(y_l | x, y_<l), in nats, with gradients; 0 where ``mask`` is False.
    residual_norms: (Σ_l ‖π_l − e_{y_l}‖²)^½ over a response's tokens, [B], without gradients; None if not asked for.
    """

    logps: Tensor
    mask: Tensor
    residual_norms: Tensor | None = None

    @property
    def sums(self) -> Tensor:
        """s = Σ_l log π(y_l | x, y_<l), [B]."""
        return self.logps.sum(dim=1)

    @property
    def lengths(self) -> Tensor:
        """|y|, [B]."""
        return self.mask.sum(dim=1)

    def halves(self) -> tuple[TokenLogps, TokenLogps]:
        """The first and the second half of the batch."""
        norms = (None, None) if self.residual_norms is None else self.residual_norms.chunk(2)
        logps, masks = self.logps.chunk(2), self.mask.chunk(2)
        return TokenLogps(logps[0], masks[0], norms[0]), TokenLogps(logps[1], masks[1], norms[1])


def response_logps(
    model: nn.Module, input_ids: Tensor, attention_mask: Tensor, response_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """s = Σ_l log π(y_l | x, y_<l) over response tokens, in nats, and the number of those tokens; both of shape [B]."""
    tokens = response_token_logps(model, input_ids, attention_mask, response_mask)
    return tokens.sums, tokens.lengths


def response_token_logps(
    model: nn.Module,
    input_ids: Tensor,
    attention_mask: Tensor,
    response_mask: Tensor,
    *,
    with_residuals: bool = False,
) -> TokenLogps:
    """The same token by token and, if asked for, the norms of the residuals, from the same pass over the model.

    The unembedding runs only from the first position that predicts a response token on: prompts cost no logits.
    """
    shifted_mask = response_mask[:, 1:]
    first = int(shifted_mask.any(dim=0).int().argmax())
    kept = input_ids.shape[1] - first
    logits = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, logits_to_keep=kept).logits[
        :, :-1
    ]
    labels, mask = input_ids[:, first + 1 :], shifted_mask[:, first:].bool()
    logps = selective_log_softmax(logits.float(), labels).masked_fill(~mask, 0.0)
    norms = response_residual_norms(logits, labels, mask) if with_residuals else None
    return TokenLogps(logps, mask, norms)


def summaries(table: Tensor, metrics: Sequence[str], residuals: Sequence[str]) -> dict[str, float]:
    """Columns of ``table`` [B, metrics + residuals], as the log has them.

    ``<metric>`` is a column's mean; a residual has ``<residual>_mean``, ``_p10``, ``_p50`` and ``_p90`` (quantiles
    linear between order statistics).
    """
    levels = torch.tensor(list(QUANTILES.values()) if residuals else [], device=table.device)
    means, *quantiles = torch.cat([table.mean(dim=0)[None], table.quantile(levels, dim=0)]).tolist()  # one transfer
    values = dict(zip(metrics, means, strict=False))
    for statistic, row in zip(("mean", *QUANTILES), (means, *quantiles), strict=False):
        of_residuals = row[len(metrics) :]
        values |= {f"{name}_{statistic}": value for name, value in zip(residuals, of_residuals, strict=True)}
    return values
