"""Displacement scores against plain gradients, the proxies as true bounds, step sizes against torch's optimizers."""

from __future__ import annotations

import pytest
import torch

from ldyn.errors import TrainingError
from ldyn.theory.displacement import displacement
from ldyn.theory.influence import influence, token_gradients
from ldyn.theory.kernel import proxies, residual_norm, token_statistics
from ldyn.theory.responses import make_batch, under_all_names, weights_of
from ldyn.theory.update_sources import step_sizes
from ldyn.theory.updates import TakenUpdate, UpdatedResponse
from ldyn.training.single_step import StepTaken


def test_entanglement_is_made_of_gradients_of_whole_responses(model, make_response):
    chosen, rejected = make_response(1, 3, 4), make_response(2, 3, 6)
    up, down = (token_gradients(model, make_batch([one])).sum(0) for one in (chosen, rejected))
    found = displacement(model, chosen, rejected)
    assert found.inner_product == pytest.approx(float(up @ down), rel=1e-9)
    assert found.chosen_norm_sq == pytest.approx(float(up @ up), rel=1e-9)
    assert found.rejected_norm_sq == pytest.approx(float(down @ down), rel=1e-9)
    assert found.entanglement == pytest.approx(float(up @ down - up @ up), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_its_sign_tells_whether_a_step_on_the_pair_lowers_the_chosen_response(model, make_response, seed):
    """A step along ∇s₊ − ∇s₋: by the exact level, s₊ changes by η (‖∇s₊‖² − ⟨∇s₊, ∇s₋⟩) = −η · entanglement."""
    chosen, rejected = make_response(seed, 3, 4), make_response(seed + 10, 3, 6)
    update = [UpdatedResponse("q", "chosen", chosen, 1.0), UpdatedResponse("q", "rejected", rejected, -1.0)]
    change = influence(model, [chosen], update, learning_rate=1.0).sum().item()
    assert change == pytest.approx(-displacement(model, chosen, rejected).entanglement, rel=1e-9)


def test_ches_by_hand(model, make_response):
    """Hidden states after the final norm, at the positions before each response token; ⟨Σ⁺, Σ⁻⟩ − ‖Σ⁺‖²."""
    chosen, rejected = make_response(1, 3, 2), make_response(2, 3, 3)
    sums = []
    for response, length in ((chosen, 2), (rejected, 3)):
        ids = torch.tensor([[*response.prompt_ids, *response.response_ids]])
        sums.append(model.gpt_neox(ids).last_hidden_state[0, 2 : 2 + length].sum(0))
    expected = (sums[0] @ sums[1] - sums[0] @ sums[0]).item()
    assert displacement(model, chosen, rejected).ches == pytest.approx(expected, rel=1e-9)


def test_the_lower_bounds_lie_below_the_norm_and_the_papers_lies_lowest(model, make_response, write_out):
    """‖K‖ ≥ ‖(Δ_m / ‖a_m‖)_m‖ / ‖ηG‖ for first-order changes, with the norms of A and G from their matrices."""
    rate = 1e-3
    for seed in range(5):
        seen, update = make_response(seed, 3, 4), UpdatedResponse("q", "chosen", make_response(seed + 20, 2, 3), 0.8)
        built = write_out(model, seen, update)
        a_norms = built.A.flatten(1).norm(dim=1)
        label_norms = built.A[torch.arange(4), built.labels].norm(dim=1)
        pushed = rate * built.G.norm().item()
        found = proxies(built.influence(rate).sum(1), label_norms, a_norms, pushed)
        assert 0 < found.paper_lower_bound < found.lower_bound <= built.K.norm().item()
        assert abs(found.sign_delta) <= 4**0.5 * found.paper_lower_bound * (1 + 1e-9)


def test_the_bound_is_reached_by_a_kernel_of_rank_one():
    """K = a gᵀ with the very a and g of the step: Δ = −a·K·ηg = −η ‖a‖² ‖g‖², so LBK = ‖a‖ ‖g‖ = ‖K‖_F."""
    a, g, rate = torch.tensor([3.0, -4.0]), torch.tensor([1.0, 2.0, 2.0]), 0.1
    change = -rate * (a @ a) * (g @ g)
    found = proxies(change[None], a.norm()[None], 2 * a.norm()[None], rate * g.norm().item())
    assert found.lower_bound == pytest.approx(5 * 3)
    assert found.paper_lower_bound == pytest.approx(5 * 3 / 2)
    assert found.sign_delta == pytest.approx(-5 * 3 / 2)


def test_statistics_of_tokens_are_norms_of_the_matrices(model, make_response, write_out):
    seen, trained = make_response(0, 3, 4), make_response(20, 2, 3)
    updated = UpdatedResponse("q", "chosen", trained, -0.8)
    built = write_out(model, seen, updated)
    [of_seen] = token_statistics(model, [seen], 1000)
    assert of_seen.a_norm.tolist() == pytest.approx(built.A.flatten(1).norm(dim=1).tolist())
    assert of_seen.residual_norm.tolist() == pytest.approx(built.A[torch.arange(4), built.labels].norm(dim=1).tolist())
    taken = TakenUpdate(model, StepTaken(0, learning_rate=0.01), [updated])
    assert residual_norm(taken, 1000) == pytest.approx(0.01 * built.G.norm().item())


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
