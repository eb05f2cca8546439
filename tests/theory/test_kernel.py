"""A, K and G written out against the prediction along a step of gradient descent, and the norm of K."""

from __future__ import annotations

import pytest
import torch

from ldyn.errors import DataError
from ldyn.theory.kernel import kernel_norms
from ldyn.theory.prediction import predicted_changes
from ldyn.theory.updates import UpdatedResponse

RATE = 1e-3


@pytest.mark.parametrize("which", ["model", "tied_model"])
def test_a_k_g_written_out_is_the_prediction_along_a_gradient_step(which, request, make_response, write_out, descent):
    """χ_u: a chosen response pulled up and a rejected one pushed down, of one question; Δθ = −η ∇L."""
    model = request.getfixturevalue(which)
    seen, (chosen, rejected) = make_response(5, 3, 3), (make_response(seed, 2, 2) for seed in (6, 12))
    updated = [UpdatedResponse("q", "chosen", chosen, 0.7), UpdatedResponse("q", "rejected", rejected, -0.4)]
    built = [write_out(model, seen, one) for one in updated]
    assert (built[0].A.shape, built[0].K.shape, built[0].G.shape) == ((3, 23, 23), (3, 2, 23, 23), (2, 23))
    [predicted] = predicted_changes(model, [seen], descent(model, updated, RATE), 100)
    assert torch.allclose(sum(one.influence(RATE).sum(1) for one in built), predicted, rtol=1e-10, atol=1e-14)


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


def test_nothing_to_observe_is_an_error(model, make_response):
    with pytest.raises(DataError, match="no response to observe"):
        kernel_norms(model, [], make_response(0), projections=2, seed=0)
    with pytest.raises(DataError, match="no token left"):
        kernel_norms(model, [make_response(0, 3, 0)], make_response(0), projections=2, seed=0)
