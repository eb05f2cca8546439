"""Log-probabilities of responses under a model, with gradients: what every loss is a function of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ldyn.models.packed_forward import needed_logits
from ldyn.models.packing import PackedBatch
from ldyn.numerics.token_stats import residual_norms

QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


@dataclass(frozen=True)
class TokenLogps:
    """B responses token by token: [B, T], T the tokens of the longest.

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


def token_logps(model: nn.Module, batch: PackedBatch, *, with_residuals: bool = False) -> TokenLogps:
    """The responses of the batch; a response's key is its place, 0 to B − 1. One pass over the model, on its device.

    The unembedding runs only where a response token is predicted: prompts cost no logits.
    """
    batch = batch.to(next(model.parameters()).device)
    logits = needed_logits(model, batch)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    logps: Tensor = _LabelLogps.apply(logits, batch.rows, batch.labels)
    cells = _cells(batch)
    table = logps.new_zeros(len(batch.keys), max(batch.lengths))
    mask = torch.zeros_like(table, dtype=torch.bool).index_put(cells, torch.tensor(True, device=logps.device))
    norms = None
    if with_residuals:
        norms = table.index_put(cells, residual_norms(logits, batch.labels, batch.rows)).norm(dim=1)
    return TokenLogps(table.index_put(cells, logps), mask, norms)


def _cells(batch: PackedBatch) -> tuple[Tensor, Tensor]:
    """Place and column in the table, [N] each, of the response tokens."""
    device = batch.labels.device
    lengths, places = (torch.tensor(values, device=device) for values in (batch.lengths, batch.keys))
    starts = lengths.cumsum(0) - lengths
    columns = torch.arange(len(batch.labels), device=device) - starts.repeat_interleave(lengths)
    return places.repeat_interleave(lengths), columns


class _LabelLogps(torch.autograd.Function):
    """log softmax of the rows [N] of logits [R, V] at the labels [N]; its backward pass writes into the logits."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: Tensor, labels: Tensor) -> Tensor:
        normalizers = logits.logsumexp(dim=1)
        ctx.save_for_backward(logits, rows, labels, normalizers)
        return logits[rows, labels] - normalizers[rows]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        logits, rows, labels, normalizers = ctx.saved_tensors
        of_rows = torch.zeros_like(normalizers).index_add(0, rows, gradient)
        # In the place of the logits, which nothing needs any more: a second backward pass is an error of autograd's.
        of_logits = logits.detach().sub_(normalizers[:, None]).exp_().mul_(-of_rows[:, None])
        return of_logits.index_put_((rows, labels), gradient, accumulate=True), None, None


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
