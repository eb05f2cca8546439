"""Displacement scores against plain gradients, and step sizes against torch's optimizers."""

from __future__ import annotations

import pytest
import torch

from ldyn.errors import TrainingError
from ldyn.theory.displacement import displacement
from ldyn.theory.prediction import predicted_changes
from ldyn.theory.responses import under_all_names, weights_of
from ldyn.theory.update_sources import step_sizes
from ldyn.theory.updates import UpdatedResponse


def test_entanglement_is_made_of_gradients_of_whole_responses(model, make_response, descent):
    chosen, rejected = make_response(1, 3, 4), make_response(2, 3, 6)
    gradients = [descent(model, [UpdatedResponse("q", "chosen", one, 1.0)], 1.0) for one in (chosen, rejected)]
    up, down = (torch.cat([part.flatten() for part in gradient.values()]) for gradient in gradients)
    found = displacement(model, chosen, rejected)
    assert found.inner_product == pytest.approx(float(up @ down), rel=1e-9)
    assert found.chosen_norm_sq == pytest.approx(float(up @ up), rel=1e-9)
    assert found.rejected_norm_sq == pytest.approx(float(down @ down), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_its_sign_tells_whether_a_step_on_the_pair_lowers_the_chosen_response(model, make_response, descent, seed):
    """A step along ∇s₊ − ∇s₋ changes s₊ by η (‖∇s₊‖² − ⟨∇s₊, ∇s₋⟩) = −η · entanglement, to first order."""
    chosen, rejected = make_response(seed, 3, 4), make_response(seed + 10, 3, 6)
    update = [UpdatedResponse("q", "chosen", chosen, 1.0), UpdatedResponse("q", "rejected", rejected, -1.0)]
    [change] = predicted_changes(model, [chosen], descent(model, update, 1.0), 100)
    assert change.sum().item() == pytest.approx(-displacement(model, chosen, rejected).entanglement, rel=1e-9)


def test_ches_by_hand(model, make_response):
    """Hidden states after the final norm, at the positions before each response token; ⟨Σ⁺, Σ⁻⟩ − ‖Σ⁺‖²."""
    chosen, rejected = make_response(1, 3, 2), make_response(2, 3, 3)
    sums = []
    for response, length in ((chosen, 2), (rejected, 3)):
        ids = torch.tensor([[*response.prompt_ids, *response.response_ids]])
        sums.append(model.gpt_neox(ids).last_hidden_state[0, 2 : 2 + length].sum(0))
    expected = (sums[0] @ sums[1] - sums[0] @ sums[0]).item()
    assert displacement(model, chosen, rejected).ches == pytest.approx(expected, rel=1e-9)


OPTIMIZERS = {
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.01),
    "rmsprop": lambda weights: torch.optim.RMSprop(weights, lr=0.01),
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.01, weight_decay=0.0),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_linear_in_its_gradient_given_the_step_sizes(name):
    """With the step sizes of the third step, Δθ − (−P g) is the same for AdamW whatever splits g; 0 for the others."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(5, 3, generator=generator, dtype=torch.float64))
    optimizer = OPTIMIZERS[name]([weight])
    gradients = [torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(3)]
    for gradient in gradients:
        before, weight.grad = weight.detach().clone(), gradient.clone()
        optimizer.step()
    rest = (weight.detach() - before) + step_sizes(optimizer, 0.01, weight) * gradients[-1]
    if name != "adamw":
        assert rest.abs().max() < 1e-15
        return
    # By hand: earlier momentum β₁ m₂ / (1 − β₁³) over the same denominator, m₂ = 0.1 g₂ + 0.09 g₁.
    v = sum(0.001 * 0.999 ** (2 - i) * g**2 for i, g in enumerate(gradients))
    m = 0.9 * (0.1 * gradients[1] + 0.9 * 0.1 * gradients[0])
    expected = -0.01 * m / (1 - 0.9**3) / ((v / (1 - 0.999**3)).sqrt() + 1e-8)
    assert torch.allclose(rest, expected, rtol=1e-9)


def test_an_optimizer_that_cannot_be_split_is_refused():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    with pytest.raises(TrainingError, match="step of SGD with these options cannot be split"):
        step_sizes(optimizer, 0.1, weight)


def test_an_update_by_one_name_is_known_under_both_names_of_a_tied_tensor(tied_model):
    named = {name: torch.ones_like(weight) for name, weight in tied_model.named_parameters()}
    assert len(named) < len(weights_of(tied_model))
    everywhere = under_all_names(tied_model, named)
    assert set(everywhere) == set(weights_of(tied_model))
