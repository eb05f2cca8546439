"""Will y⁺ fall? Two scores of a pair (x, y⁺, y⁻) before any training on it; both are larger if y⁺ is expected to fall.

Gradient entanglement (H. Yuan et al. 2024, arXiv 2410.13828): one step on a loss of the margin s₊ − s₋ moves s₊ by a
positive multiple of ‖∇s₊‖² − ⟨∇s₊, ∇s₋⟩, so y⁺ rises if and only if ⟨∇s₊, ∇s₋⟩ < ‖∇s₊‖².
CHES (N. Razin et al. 2024, arXiv 2410.08847): ⟨Σ_k h⁺_k, Σ_k h⁻_k⟩ − ‖Σ_k h⁺_k‖², with h_k the last hidden state from
which response token k is predicted; the kernel of the unembedding alone, with all labels taken as equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ldyn.models.evaluation import evaluation_mode, hidden_states
from ldyn.theory.prediction import inner_product
from ldyn.theory.responses import (
    SPLIT,
    Response,
    flattened,
    make_batch,
    plain_attention,
    token_logps,
    weights_of,
)
from ldyn.theory.updates import Experiment, responses_of
from ldyn.training.checkpoints import start_weights
from ldyn.training.plan import StagePlan


class Displacement(NamedTuple):
    """inner_product: ⟨∇s₊, ∇s₋⟩. chosen_norm_sq, rejected_norm_sq: ‖∇s₊‖², ‖∇s₋‖². ches: CHES.

    entanglement: ⟨∇s₊, ∇s₋⟩ − ‖∇s₊‖²; above 0 the pair's own step lowers y⁺.
    """

    inner_product: float
    chosen_norm_sq: float
    rejected_norm_sq: float
    ches: float
    entanglement: float


def displacement(model: PreTrainedModel, chosen: Response, rejected: Response) -> Displacement:
    """Both scores of one pair."""
    up, down = _gradient(model, chosen), _gradient(model, rejected)
    inner, up_sq, down_sq = (inner_product(a, b) for a, b in ((up, down), (up, up), (down, down)))
    h_up, h_down = _summed_hidden(model, chosen), _summed_hidden(model, rejected)
    return Displacement(inner, up_sq, down_sq, float(h_up @ h_down - h_up @ h_up), inner - up_sq)


def _gradient(model: PreTrainedModel, response: Response) -> Tensor:
    weights = weights_of(model, requires_grad=True)
    with evaluation_mode(model), torch.enable_grad():
        logp = token_logps(model, weights, make_batch([response], model.device)).sum()
        return flattened(weights, torch.autograd.grad(logp, list(weights.values())))


def _summed_hidden(model: PreTrainedModel, response: Response) -> Tensor:
    """Σ_k h_k over the positions that predict the response's tokens, [hidden size], float64."""
    batch = make_batch([response], model.device)
    with evaluation_mode(model), plain_attention(model):
        hidden = hidden_states(model, input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    return hidden[batch.rows, batch.positions].double().sum(0)


def displacement_table(
    experiment: Experiment, plan: StagePlan, pair_ids: Sequence[str], trajectories: pd.DataFrame
) -> pd.DataFrame:
    """The scores of these pairs at the start of a stage, and the ``change`` of log π(y⁺) over it, nats.

    The change is NaN if ``trajectories`` does not have it.
    """
    stage = plan.info.name
    model = start_weights(plan.info.start, experiment.base, experiment.stage_directory).eval()
    own = trajectories[trajectories["stage"] == stage]
    own = own[(own["split"] == SPLIT) & (own["probe"] == "chosen")].sort_values("step")
    by_example = own.groupby("example_id", observed=True)["logp"]
    changes = (by_example.last() - by_example.first()).to_dict()
    rows = []
    for pair in (pair for pair in experiment.pairs_of(plan) if pair.pair_id in pair_ids):
        scores = displacement(model, responses_of(pair, "chosen"), responses_of(pair, "rejected"))
        change = changes.get(pair.pair_id, float("nan"))
        rows.append({"stage": stage, "example_id": pair.pair_id, **scores._asdict(), "change": change})
    return pd.DataFrame(rows)
