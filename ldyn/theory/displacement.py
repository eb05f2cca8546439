"""Will y⁺ fall? Two scores of a pair (x, y⁺, y⁻), taken before any training on it.

Gradient entanglement (H. Yuan et al. 2024, arXiv 2410.13828): one step on a loss of the margin s₊ − s₋ moves s₊ by a
positive multiple of ‖∇s₊‖² − ⟨∇s₊, ∇s₋⟩, so y⁺ rises if and only if ⟨∇s₊, ∇s₋⟩ < ‖∇s₊‖².
CHES (N. Razin et al. 2024, arXiv 2410.08847): ⟨Σ_k h⁺_k, Σ_k h⁻_k⟩ − ‖Σ_k h⁺_k‖², with h_k the last hidden state from
which response token k is predicted; the kernel of the unembedding alone, with all labels taken as equal.

Both are larger the more y⁺ is expected to fall.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ldyn.models.evaluation import evaluation_mode, hidden_states
from ldyn.theory.prediction import inner_product
from ldyn.theory.responses import Response, flattened, make_batch, plain_attention, token_logps, weights_of


@dataclass(frozen=True, slots=True)
class Displacement:
    """inner_product: ⟨∇s₊, ∇s₋⟩. chosen_norm_sq, rejected_norm_sq: ‖∇s₊‖², ‖∇s₋‖². ches: as above."""

    inner_product: float
    chosen_norm_sq: float
    rejected_norm_sq: float
    ches: float

    @property
    def entanglement(self) -> float:
        """⟨∇s₊, ∇s₋⟩ − ‖∇s₊‖²; above 0 the pair's own step lowers y⁺."""
        return self.inner_product - self.chosen_norm_sq


def displacement(model: PreTrainedModel, chosen: Response, rejected: Response) -> Displacement:
    """Both scores of one pair, on a model with a last hidden state."""
    up, down = _gradient(model, chosen), _gradient(model, rejected)
    products = ((up, down), (up, up), (down, down))
    inner, up_sq, down_sq = (inner_product(a, b) for a, b in products)
    h_up, h_down = _summed_hidden(model, chosen), _summed_hidden(model, rejected)
    return Displacement(inner, up_sq, down_sq, float(h_up @ h_down - h_up @ h_up))


def _gradient(model: PreTrainedModel, response: Response) -> Tensor:
    weights = {name: tensor.requires_grad_() for name, tensor in weights_of(model).items()}
    with evaluation_mode(model), torch.enable_grad():
        logp = token_logps(model, weights, make_batch([response], model.device)).sum()
        return flattened(weights, torch.autograd.grad(logp, list(weights.values())))


def _summed_hidden(model: PreTrainedModel, response: Response) -> Tensor:
    """Σ_k h_k over the positions that predict the response's tokens, [h], float64."""
    batch = make_batch([response], model.device)
    with evaluation_mode(model), plain_attention(model):
        hidden = hidden_states(model, input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    return hidden[batch.rows, batch.positions].double().sum(0)
