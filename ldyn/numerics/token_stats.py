"""Statistics of the next-token distribution at each position, from one pass over the logits.

Symbols (Ren and Sutherland, arXiv 2407.10490, and PAPER section 1), at one position with logits z over V tokens:

    π = softmax(z)         the prediction                    y    the label, the token that the response has there
    y* = argmax z          the greedy token                  q    π without y*, renormalised
    ρ = 1 − π(y*)          the mass outside the argmax       e_y  the one-hot vector of the label
    A = I − 1 πᵀ           the paper's ∇_z log π             π − e_y  the residual, the paper's G of −log π(y)

All quantities hang on g = logsumexp_{i≠y*}(z_i) − max(z), the log-odds of the others against the argmax:

    log π(y*)  = −softplus(g)        log ρ = −softplus(−g)        log π(y) = z_y − max(z) − softplus(g)
    H(π)       = −π(y*) log π(y*) − ρ log ρ + ρ H(q)              H(q) = log R − (Σ_{i≠y*} u_i d_i) / R
    ‖π‖²       = π(y*)² + ρ² ‖q‖²                                 ‖q‖² = (Σ_{i≠y*} u_i²) / R²
    ‖A‖_F²     = V ‖π‖² + V − 2      (rows sum to zero: ‖I‖² − 2 Σ_i π_i + V ‖π‖²)
    ‖π − e_y‖² = ρ² (1 + ‖q‖²) where y = y*, else (1 − π(y))² + ‖π‖² − π(y)²

with d_i = z_i − max_{j≠y*}(z_j) ≤ 0, u_i = exp(d_i) and R = Σ_{i≠y*} u_i ≥ 1. Because the others are shifted by *their*
maximum, nothing underflows or cancels where π(y*) rounds to 1: log ρ and log π(y*) keep their relative precision there,
‖π − e_y‖ does not collapse to 0, and no term is a difference of nearly equal numbers (for y ≠ y*, π(y) ≤ 1/2 and
‖π‖² ≥ 2 π(y)²). This equals exp(logsumexp(2(z − lse))) for ‖π‖² and log1mexp(log π(y*)) for log ρ, in exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

# Elements of a chunk (rows × V). Two float32 buffers of this size live at a time. On a CPU they should stay in cache:
# 2^20 took half the time of 2^24 at V = 400 and at V = 50,304. An accelerator wants fewer, larger kernels.
CPU_CHUNK_ELEMENTS, ACCELERATOR_CHUNK_ELEMENTS = 2**20, 2**25


@dataclass(frozen=True, slots=True)
class TokenStats:
    """One value for each of N positions; logarithms in nats. Floats are float32 (float64 for float64 logits).

    logp: log π(y). logp_argmax: log π(y*). log_mass_rest: log(1 − π(y*)). entropy: H(π). prob_norm_sq: ‖π‖².
    a_norm: ‖A‖_F. residual_norm: ‖π − e_y‖₂. p_label: π(y). argmax_id: y* (int64; which one of several equal maxima
    is taken, is up to the device). argmax_is_label: y* = y (bool).
    is_finite: False where a logit of the position is NaN or infinite (or they span more than the dtype's range). There
    the entropy is NaN, and the other values are what the arithmetic gives.
    """

    logp: Tensor
    logp_argmax: Tensor
    log_mass_rest: Tensor
    entropy: Tensor
    prob_norm_sq: Tensor
    a_norm: Tensor
    residual_norm: Tensor
    p_label: Tensor
    argmax_id: Tensor
    argmax_is_label: Tensor
    is_finite: Tensor


def joined(parts: Sequence[TokenStats]) -> TokenStats:
    """The positions of all ``parts``, one after the other."""
    return TokenStats(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(TokenStats)))


def selected(stats: TokenStats, index: Tensor) -> TokenStats:
    """The positions ``index`` (int64) of ``stats``, in that order."""
    return TokenStats(*(getattr(stats, f.name)[index] for f in fields(TokenStats)))


def token_stats(
    logits: Tensor,
    labels: Tensor,
    *,
    rows: Tensor | None = None,
    chunk_elements: int | None = None,
) -> TokenStats:
    """Return the statistics of N positions, given ``logits`` [M, V] and ``labels`` [N] (int64, in [0, V)).

    ``rows`` [N] (int64, in [0, M)) tells which row of ``logits`` predicts each label; without it, N = M, in order.
    ``logits`` may have any float dtype and are not changed; whatever the dtype, the arithmetic is in float32 (float64
    for float64), also under autocast. Needs two buffers of ``chunk_elements`` elements (by default what suits the
    device) beside the logits.
    Raises ValueError when V < 2 (there is no mass outside the argmax) or when the shapes do not fit.
    """
    if rows is None:
        rows = torch.arange(len(logits), device=logits.device)
    if logits.ndim != 2 or labels.shape != rows.shape or labels.ndim != 1:
        raise ValueError(f"Expected logits [M, V] and one label per row; found {logits.shape=}, {labels.shape=}.")
    if logits.shape[1] < 2:
        raise ValueError(f"Expected logits over at least 2 tokens; found {logits.shape=}.")
    if chunk_elements is None:
        chunk_elements = CPU_CHUNK_ELEMENTS if logits.device.type == "cpu" else ACCELERATOR_CHUNK_ELEMENTS
    chunks = torch.arange(len(rows), device=rows.device).split(max(1, chunk_elements // logits.shape[1]))
    with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
        return joined([_chunk_stats(logits[rows[chunk]], labels[chunk]) for chunk in chunks])


def _chunk_stats(logits: Tensor, labels: Tensor) -> TokenStats:
    """Statistics of one chunk. ``logits`` [n, V] is this function's own copy: it is overwritten."""
    z = logits if logits.dtype == torch.float64 else logits.float()
    vocabulary_size = z.shape[1]
    label_logit = z.gather(1, labels[:, None]).squeeze(1)
    argmax_id = _argmax(z)
    top = z.gather(1, argmax_id[:, None]).squeeze(1)  # [n], NaN where the row has one
    argmax_is_label = argmax_id == labels
    at_argmax = argmax_id[:, None]

    d = z.scatter_(1, at_argmax, -torch.inf)  # from here on, the others only
    top_of_rest = d.amax(dim=1)
    d = d.sub_(top_of_rest[:, None]).scatter_(1, at_argmax, 0.0)  # 0 rather than −inf: its weight u below is 0
    u = d.exp().scatter_(1, at_argmax, 0.0)  # the second buffer of this size, and the last
    total = u.sum(dim=1)  # R ≥ 1
    rest_norm_sq = torch.linalg.vector_norm(u, dim=1).div(total).square()  # ‖q‖²
    log_total = total.log()
    rest_entropy = log_total - d.mul_(u).sum(dim=1) / total  # H(q); −inf · 0 makes it NaN where a logit is −inf

    log_odds = top_of_rest - top + log_total  # g
    logp_argmax, log_mass_rest = logsigmoid(-log_odds), logsigmoid(log_odds)
    p_argmax, mass_rest = logp_argmax.exp(), log_mass_rest.exp()
    logp = torch.where(argmax_is_label, logp_argmax, label_logit - top + logp_argmax)
    p_label = logp.exp()
    entropy = mass_rest * rest_entropy - p_argmax * logp_argmax - mass_rest * log_mass_rest
    prob_norm_sq = p_argmax.square() + mass_rest.square() * rest_norm_sq
    residual_norm = torch.where(
        argmax_is_label,
        mass_rest * (1 + rest_norm_sq).sqrt(),
        ((1 - p_label).square() + prob_norm_sq - p_label.square()).sqrt(),
    )
    is_finite = top.isfinite() & log_odds.isfinite() & rest_entropy.isfinite()
    return TokenStats(
        logp=logp,
        logp_argmax=logp_argmax,
        log_mass_rest=log_mass_rest,
        entropy=entropy.masked_fill(~is_finite, torch.nan),
        prob_norm_sq=prob_norm_sq,
        a_norm=(vocabulary_size * prob_norm_sq + vocabulary_size - 2).sqrt(),
        residual_norm=residual_norm,
        p_label=p_label,
        argmax_id=argmax_id,
        argmax_is_label=argmax_is_label,
        is_finite=is_finite,
    )


_BLOCK = 64


def _argmax(z: Tensor) -> Tensor:
    """The place of each row's first maximum (of its NaN, where it has one): [n], of z [n, V].

    By blocks: a maximum without its place is found twenty times as fast on a CPU.
    """
    if rest := z.shape[1] % _BLOCK:
        z = torch.nn.functional.pad(z, (0, _BLOCK - rest), value=-torch.inf)
    blocks: Tensor = z.unflatten(1, (-1, _BLOCK))
    block = blocks.amax(dim=2).argmax(dim=1)
    inside: Tensor = blocks[torch.arange(len(z), device=z.device), block].argmax(dim=1)
    return block * _BLOCK + inside


@torch.no_grad()
def residual_norms(logits: Tensor, labels: Tensor, rows: Tensor, *, chunk_elements: int | None = None) -> Tensor:
    """‖π − e_y‖₂ of each label: [N], from logits [R, V], labels [N] and the row of logits that predicts each, [N].

    The logits may have any float dtype and are not changed; the arithmetic is in float32 (float64 for float64). Needs
    two buffers of ``chunk_elements`` elements (by default what suits the device) beside them. A fifth of the time of
    ``token_stats``, so cheap enough for every training step.
    """
    if chunk_elements is None:
        chunk_elements = CPU_CHUNK_ELEMENTS if logits.device.type == "cpu" else ACCELERATOR_CHUNK_ELEMENTS
    size = max(1, chunk_elements // logits.shape[1])
    norms = []
    for of_chunk, rows_of_chunk in zip(labels.split(size), rows.split(size), strict=True):
        residuals = logits[rows_of_chunk].softmax(dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))
        at_label = of_chunk[:, None]
        residuals.scatter_(1, at_label, residuals.gather(1, at_label) - 1)
        norms.append(torch.linalg.vector_norm(residuals, dim=1))
    return torch.cat(norms)
