"""The squeezing effect in the smallest model there is: logits z over V labels, and steps that lower one label y⁻.

One gradient step that lowers log p(y⁻) (PAPER section 1; the paper's section 3.3 and appendix E), p = softmax(z):

    z' = z + η' (p − e)        e: the one-hot vector of y⁻        η': learning rate times the kernel, which is 1 here
    Δz_i = η' p_i  for i ≠ y⁻,     Δz_{y⁻} = −η' (1 − p_{y⁻})
    Δ log p_i = Δz_i − log S,      S = Σ_j p_j exp(Δz_j)

What follows for η' > 0 and V ≥ 2 (the names are those of the claims; the tests check each on random logits):

T1  Δ log p_{y⁻} ≤ −η' ‖p − e‖² < 0, always: by Jensen, log S ≥ Σ_j p_j Δz_j = η' (‖p‖² − p_{y⁻}).
T2  Δ log p_{y*} ≥ −log(1 − p_{y⁻} (1 − exp(−η' (1 − p_{y⁻} + p_{y*})))) > 0, always, with y* the most likely label but
    y⁻: no Δz is above that of y*, and that of y⁻ is below. Of several equally likely labels each is a y*.
T3  Among the labels but y⁻, Δ log p_i grows strictly with p_i (so their order never changes, and over many steps as
    well the rich gain more than the poor): label i falls if and only if η' p_i < log S. Labels of one probability
    change alike; where all are equal nothing is ranked. *That* the poor fall needs log S > 0.
T4, T5  To first order log S = η' (‖p‖² − p_{y⁻}), so a label that is neither y⁻ nor y* changes by

        Δ log p_i = η' (p_i + p_{y⁻} − ‖p‖²) + O(η'²):

    it falls the deeper, the peakier p is (‖p‖² grows) and the less likely y⁻ already was; η' multiplies both. Where
    y⁻ is likely enough, p_{y⁻} > ‖p‖², every other label *rises*: it shares in the mass of y⁻.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


def closed_form(logps: Array, rejected: int, step_size: float) -> Array:
    """log p after one step, by the formulas above. logps: (N, V), log-probabilities; rejected: the label y⁻."""
    moved = step_size * np.exp(logps)
    moved[:, rejected] -= step_size
    unnormalised = logps + moved
    highest = unnormalised.max(axis=1, keepdims=True)
    normaliser = highest + np.log(np.exp(unnormalised - highest).sum(axis=1, keepdims=True))
    after: Array = unnormalised - normaliser
    return after


def gradient_step(logits: Tensor, rejected: int, step_size: float) -> Tensor:
    """The logits (N, V) after one step of gradient descent on log p(y⁻), by automatic differentiation."""
    free = logits.detach().requires_grad_()
    [gradient] = torch.autograd.grad(free.log_softmax(dim=-1)[:, rejected].sum(), free)
    return logits - step_size * gradient


def squeeze(logits: Array, rejected: int, step_size: float, steps: int) -> tuple[Array, Array]:
    """Repeated gradient steps on N starts, and how far the closed form of each step is from it.

    logits: (N, V). Returns log p before the first and after each step, (steps + 1, N, V), and for each step the largest
    difference in log p between the two ways, (steps, N); both in nats.
    """
    current, courses, differences = torch.from_numpy(logits), [_logps(logits)], []
    for _ in range(steps):
        current = gradient_step(current, rejected, step_size)
        expected = closed_form(courses[-1], rejected, step_size)
        courses.append(_logps(current.numpy()))
        differences.append(np.abs(courses[-1] - expected).max(axis=1))
    return np.stack(courses), np.stack(differences)


def _logps(logits: Array) -> Array:
    logps: Array = torch.from_numpy(logits).log_softmax(dim=-1).numpy()
    return logps
