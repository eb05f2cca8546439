"""`ldyn toy`: the squeezing effect in a softmax over V labels, when gradient steps lower one label y⁻.

One gradient step on log p(y⁻), p = softmax(z) (arXiv 2407.10490, section 3.3 and appendix E):

    z' = z + η' (p − e)        e: one-hot vector of y⁻        η': learning rate times the kernel, which is 1 here
    Δz_i = η' p_i  for i ≠ y⁻,     Δz_{y⁻} = −η' (1 − p_{y⁻})
    Δ log p_i = Δz_i − log S,      S = Σ_j p_j exp(Δz_j)

Consequences for η' > 0 and V ≥ 2 (named as the claims; the tests check each on random logits):

T1  Δ log p_{y⁻} ≤ −η' ‖p − e‖² < 0, always: by Jensen, log S ≥ Σ_j p_j Δz_j = η' (‖p‖² − p_{y⁻}).
T2  Δ log p_{y*} ≥ −log(1 − p_{y⁻} (1 − exp(−η' (1 − p_{y⁻} + p_{y*})))) > 0, always, with y* the most likely label
    except y⁻: no Δz is above that of y*, and that of y⁻ is below. If several labels tie for y*, each of them rises.
T3  Among the labels except y⁻, Δ log p_i grows strictly with p_i, so their order never changes: label i falls if and
    only if η' p_i < log S. Labels of equal probability change equally. That the unlikely labels *fall* needs log S > 0.
T4, T5  To first order log S = η' (‖p‖² − p_{y⁻}), so a label that is neither y⁻ nor y* changes by

        Δ log p_i = η' (p_i + p_{y⁻} − ‖p‖²) + O(η'²):

    it falls more, the peakier p is (larger ‖p‖²) and the less likely y⁻ already was; η' multiplies both. If y⁻ is
    likely enough, p_{y⁻} > ‖p‖², every other label *rises*.

A start is V standard normal numbers. Times 0, ``flat`` and ``peaky`` they are the logits of three starts that differ in
peakiness only. Label 0 is the most likely one. y⁻ is label 0 (on a *peak*; y* is label 1) or the label at the quantile
``valley`` (in a *valley*; y* is label 0). In the uniform start the position makes no difference and is called *any*.
Shapes: N starts, V labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldyn.numerics.statistics import rank_correlation
from ldyn.theory.settings import ToyConfig

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Condition:
    """A kind of start (``spread``: factor on its logits) with the labels ``rejected`` (y⁻) and ``greedy`` (y*)."""

    start: str
    spread: float
    position: str
    rejected: int
    greedy: int


def conditions(config: ToyConfig, labels: int) -> list[Condition]:
    """All starts and positions of a softmax over ``labels`` labels: uniform first, then flat and peaky."""
    valley = valley_label(config, labels)
    spreads = {"flat": config.flat, "peaky": config.peaky}
    places = [("peak", 0, 1), ("valley", valley, 0)]
    return [
        Condition("uniform", 0.0, "any", valley, 0),
        *(Condition(start, spread, *place) for start, spread in spreads.items() for place in places),
    ]


def valley_label(config: ToyConfig, labels: int) -> int:
    """The label that is y⁻ in a valley."""
    return round((1 - config.valley) * (labels - 1))


def random_logits(seed: int, labels: int, starts: int) -> Array:
    """(starts, labels) standard normal numbers, each row in descending order."""
    drawn = np.random.default_rng([seed, labels]).standard_normal((starts, labels))
    return -np.sort(-drawn, axis=1)


def gradient_step(logits_NV: Tensor, rejected: int, step_size: float) -> Tensor:
    """The logits after one step of gradient descent on log p(y⁻), by automatic differentiation."""
    free = logits_NV.detach().requires_grad_()
    [gradient] = torch.autograd.grad(free.log_softmax(dim=-1)[:, rejected].sum(), free)
    return logits_NV - step_size * gradient


def squeeze(logits_NV: Array, rejected: int, step_size: float, steps: int) -> Array:
    """log p before the first and after each of several gradient steps, (steps + 1, N, V), in nats."""
    logits = [torch.from_numpy(logits_NV)]
    for _ in range(steps):
        logits.append(gradient_step(logits[-1], rejected, step_size))
    logps: Array = torch.stack(logits).log_softmax(dim=-1).numpy()
    return logps


def toy_table(config: ToyConfig, seeds: Sequence[int]) -> pd.DataFrame:
    """The table ``toy``: one row for each start × condition × step size × step (0 = before the first); nats.

    ``unit``: names a random start, the unit over which claims are sampled. ``logp_rejected``, ``logp_greedy``: log p of
    y⁻ and y*. ``others``: mean log p of the labels that are y⁻ or y* at no position; ``poorer_half``: of the less
    likely half of them. ``rank_correlation``: of log p before the first step with its change since, over all labels
    except y⁻ (NaN at step 0 and where all are alike).
    """
    blocks = []
    for seed, labels in product(seeds, config.labels):
        drawn = random_logits(seed, labels, config.starts)
        others = np.setdiff1d(np.arange(labels), [0, 1, valley_label(config, labels)])
        for condition, step_size in product(conditions(config, labels), config.step_sizes):
            logps = squeeze(condition.spread * drawn, condition.rejected, step_size, config.steps)
            block = _block(condition, logps, others)
            blocks.append(block.assign(seed=seed, step_size=step_size, unit=f"{seed}-" + block["unit"]))
    return pd.concat(blocks, ignore_index=True)


def _block(condition: Condition, logps: Array, others: NDArray[np.int64]) -> pd.DataFrame:
    """The rows of one condition. logps: (steps + 1, N, V)."""
    times, starts, labels = logps.shape
    ranked = np.delete(logps, condition.rejected, axis=2)
    correlations = [rank_correlation(ranked[0], now - ranked[0]) for now in ranked]
    columns = {
        "labels": labels,
        "start": condition.start,
        "position": condition.position,
        "step": np.repeat(np.arange(times), starts),
        "unit": [str(number) for number in range(starts)] * times,
        "logp_rejected": logps[:, :, condition.rejected].ravel(),
        "logp_greedy": logps[:, :, condition.greedy].ravel(),
        "others": logps[:, :, others].mean(axis=2).ravel(),
        "poorer_half": logps[:, :, others[len(others) // 2 :]].mean(axis=2).ravel(),
        "rank_correlation": np.concatenate(correlations),
    }
    return pd.DataFrame(columns)


def distributions_table(config: ToyConfig, seed: int) -> pd.DataFrame:
    """The table ``toy_distributions``: whole distributions before the first and after the last step.

    One row for each condition × label, of the first start of the smallest softmax with the middle step size.
    """
    labels, step_size = min(config.labels), config.step_sizes[len(config.step_sizes) // 2]
    drawn = random_logits(seed, labels, config.starts)[:1]
    frames = []
    for condition in conditions(config, labels):
        logps = squeeze(condition.spread * drawn, condition.rejected, step_size, config.steps)
        columns = {
            "start": condition.start,
            "position": condition.position,
            "step_size": step_size,
            "steps": config.steps,
            "label": np.arange(labels),
            "before": logps[0, 0],
            "after": logps[-1, 0],
            "is_rejected": np.arange(labels) == condition.rejected,
            "is_greedy": np.arange(labels) == condition.greedy,
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)
