"""The exact level against finite differences, against A, K and G written out, and against the scalable level."""

from __future__ import annotations

import pytest
import torch

from ldyn.errors import DataError
from ldyn.theory.influence import influence
from ldyn.theory.kernel import kernel_norms
from ldyn.theory.prediction import logps_at, predicted_changes
from ldyn.theory.responses import make_batch, token_logps, weights_of
from ldyn.theory.updates import UpdatedResponse

RATE = 1e-3
BUDGET = 10_000


def descent(model, updated: list[UpdatedResponse]) -> dict[str, torch.Tensor]:
    """−∇_θ of L = −Σ c s, the loss whose residual coefficients are those of ``updated``, by plain autograd."""
    weights = weights_of(model, requires_grad=True)
    terms = [u.coefficient * token_logps(model, weights, make_batch([u.response])).sum() for u in updated]
    gradients = torch.autograd.grad(sum(terms), list(weights.values()))
    return dict(zip(weights, gradients, strict=True))


@pytest.fixture
def updated(make_response) -> list[UpdatedResponse]:
    """A chosen response pulled up and a rejected one pushed down, of one question."""
    chosen = make_response(11, 4, 3)
    rejected = make_response(12, 4, 6)
    return [UpdatedResponse("q", "chosen", chosen, 0.7), UpdatedResponse("q", "rejected", rejected, -0.4)]


def test_row_sums_are_the_derivative_along_the_gradient_step(model, observed, updated):
    """Central differences of log π along −∇L: (log π(θ + ε d) − log π(θ − ε d)) / 2ε → ⟨∇ log π, d⟩, error O(ε²)."""
    direction, epsilon = descent(model, updated), 1e-6
    ahead, behind = (logps_at(model, observed, BUDGET, direction, sign * epsilon) for sign in (1, -1))
    slope = (torch.cat(ahead) - torch.cat(behind)) / (2 * epsilon)
    predicted = influence(model, observed, updated, learning_rate=RATE).sum(1)
    assert torch.allclose(predicted, RATE * slope, rtol=1e-6, atol=1e-6 * RATE * slope.abs().mean().item())


def test_each_column_is_the_derivative_along_one_updated_token(model, observed, make_response):
    """Of one column: descend on one token's −log π(y_l) alone."""
    response = make_response(3, 3, 4)
    values = influence(model, observed, [UpdatedResponse("q", "chosen", response, 1.0)], learning_rate=RATE)
    weights = weights_of(model, requires_grad=True)
    for token, logp in enumerate(token_logps(model, weights, make_batch([response]))):
        gradient = torch.autograd.grad(logp, list(weights.values()), retain_graph=True)
        direction = dict(zip(weights, gradient, strict=True))
        ahead, behind = (torch.cat(logps_at(model, observed, BUDGET, direction, sign * 1e-6)) for sign in (1, -1))
        assert torch.allclose(values[:, token], RATE * (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("which", ["model", "tied_model"])
def test_a_k_g_written_out_contract_to_the_same_numbers(which, request, make_response, write_out):
    model = request.getfixturevalue(which)
    seen, trained = make_response(5, 3, 3), UpdatedResponse("q", "rejected", make_response(6, 2, 2), -0.3)
    built = write_out(model, seen, trained)
    assert built.A.shape == (3, 23, 23)
    assert built.K.shape == (3, 2, 23, 23)
    assert built.G.shape == (2, 23)
    values = influence(model, [seen], [trained], learning_rate=RATE)
    assert torch.allclose(built.influence(RATE), values, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("which", ["model", "tied_model"])
def test_kernel_norms_are_within_their_stated_error(which, request, make_response, write_out):
    model = request.getfixturevalue(which)
    seen, trained = [make_response(5, 3, 3), make_response(7, 2, 4)], make_response(6, 2, 2)
    update = UpdatedResponse("q", "chosen", trained, 1.0)
    estimates = [kernel_norms(model, seen, trained, projections=16, seed=seed) for seed in range(12)]
    for index, one in enumerate(seen):
        truth = write_out(model, one, update).K.norm().item()
        scores = [(e[index].norm - truth) / e[index].standard_error for e in estimates]
        assert sum(abs(score) < 2 for score in scores) >= 9
        assert max(map(abs, scores)) < 5
        pairs = len(one.response_ids) * len(trained.response_ids)
        assert estimates[0][index].per_pair == pytest.approx(estimates[0][index].norm / pairs**0.5)


def test_both_levels_agree(model, observed, updated):
    """A step of plain gradient descent, unclipped: Δθ = −η ∇L."""
    delta = {name: RATE * change for name, change in descent(model, updated).items()}
    exact = influence(model, observed, updated, learning_rate=RATE).sum(1)
    forward = torch.cat(predicted_changes(model, observed, delta, BUDGET))
    assert torch.allclose(forward, exact, rtol=1e-10, atol=1e-14)
    model.float()
    single = torch.cat(predicted_changes(model, observed, {n: d.float() for n, d in delta.items()}, BUDGET))
    assert torch.allclose(single.double(), exact, rtol=1e-5, atol=1e-5 * exact.abs().max().item())


def test_nothing_to_observe_is_an_error(model, updated, make_response):
    with pytest.raises(DataError, match="no response to observe"):
        influence(model, [], updated, learning_rate=RATE)
    with pytest.raises(DataError, match="no token left"):
        influence(model, [make_response(0, 3, 0)], updated, learning_rate=RATE)
