"""Residual coefficients by autograd against the paper's table and against every docstring, in float64."""

import pytest
import torch

from ldyn.algorithms import ALGORITHMS, GATES, Responses, gated, residual_coefficients

BETA, ROWS = 0.3, 40


def draw(seed: int, spread: float = 8.0) -> tuple[Responses, Responses]:
    """Random pairs; log-ratios of a few nats on both sides of 0, so that both branches of every kink occur."""
    generator = torch.Generator().manual_seed(seed)

    def one() -> Responses:
        reference = -40 * torch.rand(ROWS, generator=generator, dtype=torch.float64)
        logp = reference + spread * (torch.rand(ROWS, generator=generator, dtype=torch.float64) - 0.5)
        lengths = torch.randint(1, 9, (ROWS,), generator=generator).double()
        return Responses(logp, lengths, lengths.mean(), reference, progress=0.25)

    return one(), one()


CHOSEN, REJECTED = draw(0)
H_CHOSEN, H_REJECTED = CHOSEN.log_ratio, REJECTED.log_ratio
MARGIN = H_CHOSEN - H_REJECTED
A = torch.sigmoid(BETA * MARGIN)
PULL = BETA * (1 - A)
TARGET = 1 / (2 * BETA)
EPSILON = 0.2

# name: parameters, coefficient on (π − e) at y⁺, and at y⁻
PAPER = {
    "dpo": ({}, PULL, -PULL),
    "ipo": ({}, 2 * (TARGET - MARGIN), -2 * (TARGET - MARGIN)),
    "slic": ({}, BETA * (BETA * MARGIN < 1).double(), -BETA * (BETA * MARGIN < 1).double()),
    "sppo": ({}, 2 * (TARGET - H_CHOSEN), -2 * (TARGET + H_REJECTED)),
    "spin": ({}, PULL, -PULL),
    "cdpo": (
        {"flip_rate": EPSILON},
        BETA * ((1 - EPSILON) * (1 - A) - EPSILON * A),
        -BETA * ((1 - EPSILON) * (1 - A) - EPSILON * A),
    ),
}
PER_TOKEN = TARGET - (H_CHOSEN / CHOSEN.lengths - H_REJECTED / REJECTED.lengths)
SIMPO = BETA * (1 - torch.sigmoid(BETA * (CHOSEN.logp_per_token - REJECTED.logp_per_token) - 0.7))
DPOP = BETA * (1 - torch.sigmoid(BETA * (MARGIN - 5 * (-H_CHOSEN).clamp(min=0))))
CALIBRATED = 1 - torch.sigmoid(MARGIN)
A_CHOSEN, A_REJECTED = torch.sigmoid(BETA * H_CHOSEN), torch.sigmoid(BETA * H_REJECTED)
P_CHOSEN, P_REJECTED = CHOSEN.logp_per_token.exp(), REJECTED.logp_per_token.exp()
REWARDS = 2 - 2 * P_CHOSEN**-0.5, 2 - 2 * P_REJECTED**-0.5  # α = ½
ALPHAPO = BETA * (1 - torch.sigmoid(BETA * (REWARDS[0] - REWARDS[1]) - 0.7))


def shift(weight: float) -> torch.Tensor:
    return BETA * (1 - torch.sigmoid(BETA * (H_CHOSEN - weight * H_REJECTED)))


DOCSTRINGS = {
    "ipo_length_normalised": ({}, 2 * PER_TOKEN / CHOSEN.lengths, -2 * PER_TOKEN / REJECTED.lengths),
    "simpo": ({"margin": 0.7}, SIMPO / CHOSEN.lengths, -SIMPO / REJECTED.lengths),
    "dpo_sft": ({"sft_weight": 0.4}, PULL + 0.4 / CHOSEN.lengths, -PULL),
    "dpop": ({"penalty": 5.0}, DPOP * (1 + 5 * (H_CHOSEN < 0)), -DPOP),
    "cal_dpo": ({}, CALIBRATED + 2 * (TARGET - H_CHOSEN), -CALIBRATED - 2 * (TARGET + H_REJECTED)),
    "dpo_shift": ({"rejected_weight": 0.6}, shift(0.6), -0.6 * shift(0.6)),
    # a quarter of the way from 0.6 to 1: 0.7
    "dpo_shift_linear": ({"first_rejected_weight": 0.6, "last_rejected_weight": 1.0}, shift(0.7), -0.7 * shift(0.7)),
    "nca": ({}, BETA * (1 - 1.5 * A_CHOSEN), -BETA * A_REJECTED / 2),
    "alphapo": (
        {"margin": 0.7, "alpha": 0.5},
        ALPHAPO * P_CHOSEN**-0.5 / CHOSEN.lengths,
        -ALPHAPO * P_REJECTED**-0.5 / REJECTED.lengths,
    ),
    "wpo": ({}, P_CHOSEN * P_REJECTED * PULL, -P_CHOSEN * P_REJECTED * PULL),
    "apo_zero": ({}, BETA * A_CHOSEN * (1 - A_CHOSEN), -BETA * A_REJECTED * (1 - A_REJECTED)),
}
PAIRWISE = {**PAPER, **DOCSTRINGS}


def test_every_pairwise_loss_has_its_formula_here():
    assert set(PAIRWISE) == {name for name, algorithm in ALGORITHMS.items() if algorithm.kind == "pairwise"}


@pytest.mark.parametrize("name", PAIRWISE)
def test_the_coefficients_are_those_of_the_table(name):
    parameters, at_chosen, at_rejected = PAIRWISE[name]
    found = residual_coefficients(ALGORITHMS[name], {"beta": BETA, **parameters}, CHOSEN, REJECTED)
    for coefficient, formula in zip(found, (at_chosen, at_rejected), strict=True):
        torch.testing.assert_close(coefficient, formula, rtol=1e-12, atol=1e-14)


def test_both_sides_of_every_kink_were_drawn():
    assert 0 < int((BETA * MARGIN < 1).sum()) < ROWS  # SLiC's hinge
    assert 0 < int((H_CHOSEN < 0).sum()) < ROWS  # DPOP's penalty
    assert 0 < int((A > 1 - EPSILON).sum()) < ROWS  # where cDPO's coefficients change sign


def test_sft_has_the_coefficient_one():
    (summed,) = residual_coefficients(ALGORITHMS["sft"], {}, CHOSEN)
    (token_mean,) = residual_coefficients(ALGORITHMS["sft_token_mean"], {}, CHOSEN)
    assert torch.equal(summed, torch.ones(ROWS, dtype=torch.float64))
    torch.testing.assert_close(token_mean, torch.full((ROWS,), 1 / CHOSEN.mean_length.item()).double())


def test_the_gradient_on_the_logits_is_the_coefficient_times_the_residual():
    """The statement that makes two numbers enough: ∂ℓ/∂z_l = c (π_l − e_{y_l}), here for DPO through a softmax."""
    generator = torch.Generator().manual_seed(1)
    logits = [torch.randn(2, 5, 7, generator=generator, dtype=torch.float64).requires_grad_() for _ in (1, -1)]
    labels = torch.randint(7, (2, 5), generator=generator)
    logps = [one.log_softmax(-1).gather(2, labels[..., None]).sum(dim=(1, 2)) for one in logits]
    lengths = torch.full((2,), 5.0)
    sides = [
        Responses(logp, lengths, lengths.mean(), logp.detach() + 1.5 * sign)
        for logp, sign in zip(logps, (1, -1), strict=True)
    ]
    ALGORITHMS["dpo"].loss(*sides, beta=BETA).sum().backward()
    coefficients = residual_coefficients(ALGORITHMS["dpo"], {"beta": BETA}, *sides)
    for one, coefficient in zip(logits, coefficients, strict=True):
        residual = one.detach().softmax(-1) - torch.nn.functional.one_hot(labels, 7)
        torch.testing.assert_close(one.grad, coefficient[:, None, None] * residual)


def test_the_model_is_not_touched():
    """Neither the gradients that are there nor the graph behind ``logp``."""
    weight = torch.ones(ROWS, dtype=torch.float64, requires_grad=True)
    logp = CHOSEN.logp * weight
    chosen = Responses(logp, CHOSEN.lengths, CHOSEN.mean_length, CHOSEN.reference_logp)
    residual_coefficients(ALGORITHMS["dpo"], {"beta": BETA}, chosen, REJECTED)
    assert weight.grad is None
    logp.sum().backward()  # its graph is still whole


@pytest.mark.parametrize("name", ["ipo", "simpo"])
def test_a_gate_multiplies_the_coefficient_at_the_rejected_response_only(name):
    parameters = {"beta": BETA, **PAIRWISE[name][0]}
    behind_gate = gated(ALGORITHMS[name], GATES["sequence"])
    plain = residual_coefficients(ALGORITHMS[name], parameters, CHOSEN, REJECTED)
    gate = {"gate_threshold": 0.05, "gate_sharpness": 30.0}
    found = residual_coefficients(behind_gate, parameters | gate, CHOSEN, REJECTED)
    opening = torch.sigmoid(30 * ((REJECTED.logp / REJECTED.lengths).exp() - 0.05))
    torch.testing.assert_close(found[0], plain[0])
    torch.testing.assert_close(found[1], opening * plain[1])
