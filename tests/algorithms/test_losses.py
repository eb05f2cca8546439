"""Each loss on three rows worked by hand. The rows' log-ratios are in conftest.py:

h₊ = 0, −2, 1;  h₋ = 0, 1, −3;  h₊ − h₋ = 0, −3, 4.
"""

from math import exp, log
from pathlib import Path

import pytest
import torch

from ldyn.algorithms import ALGORITHMS


def softplus(x: float) -> float:
    """−log σ(−x)."""
    return log(1 + exp(x))


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def test_sft_sums_over_tokens(make_responses):
    batch = make_responses([-3.0, -8.0, -1.0])
    loss = ALGORITHMS["sft"].loss(batch)
    # −s for each row
    assert loss.tolist() == [3.0, 8.0, 1.0]
    assert torch.autograd.grad(loss.sum(), batch.logp)[0].tolist() == [-1.0, -1.0, -1.0]


def test_sft_token_mean_divides_by_the_tokens_of_the_batch(make_responses):
    batch = make_responses([-3.0, -8.0, -1.0])
    loss = ALGORITHMS["sft_token_mean"].loss(batch)
    # lengths 2, 4, 6: 12 tokens in all, 4 per example; (3 + 8 + 1) / 12 = 1
    assert loss.mean().item() == pytest.approx(1.0)
    assert loss.tolist() == [0.75, 2.0, 0.25]


BY_HAND = {
    # β(h₊ − h₋) = 0, −1.5, 2; −log σ(z) = log(1 + e^−z)
    "dpo": ({"beta": 0.5}, [log(2), softplus(1.5), softplus(-2)]),
    "spin": ({"beta": 0.5}, [log(2), softplus(1.5), softplus(-2)]),
    # 3/4 of DPO's, 1/4 of it with the pair turned round
    "cdpo": (
        {"beta": 0.5, "flip_rate": 0.25},
        [log(2), 0.75 * softplus(1.5) + 0.25 * softplus(-1.5), 0.75 * softplus(-2) + 0.25 * softplus(2)],
    ),
    # margin 1/(2 · 0.5) = 1: (0 − 1)², (−3 − 1)², (4 − 1)²
    "ipo": ({"beta": 0.5}, [1.0, 16.0, 9.0]),
    # h₊/|y⁺| = 0, −2/4, 1/6; h₋/|y⁻| = 0, 1/3, −3/13; less the margin of 1, squared
    "ipo_length_normalised": ({"beta": 0.5}, [1.0, (-1 / 2 - 1 / 3 - 1) ** 2, (1 / 6 + 3 / 13 - 1) ** 2]),
    # 1 − 0, 1 + 1.5, 1 − 2 < 0
    "slic": ({"beta": 0.5}, [1.0, 2.5, 0.0]),
    # targets ±1: (0 − 1)² + (0 + 1)², (−2 − 1)² + (1 + 1)², (1 − 1)² + (−3 + 1)²
    "sppo": ({"beta": 0.5}, [2.0, 13.0, 4.0]),
    # s₊/|y⁺| = −5, −3, −1.5; s₋/|y⁻| = −2, −3, −1; twice the differences −3, 0, −0.5, less γ = 1: −7, −1, −2
    "simpo": ({"beta": 2.0, "margin": 1.0}, [softplus(7), softplus(1), softplus(2)]),
    # DPO's plus half of 5, 3, 1.5
    "dpo_sft": ({"beta": 0.5, "sft_weight": 0.5}, [log(2) + 2.5, softplus(1.5) + 1.5, softplus(-2) + 0.75]),
    # only row 2 has h₊ < 0: it pays 3 · 2 of its margin −3; −9 · 0.5 = −4.5
    "dpop": ({"beta": 0.5, "penalty": 3.0}, [log(2), softplus(4.5), softplus(-2)]),
    # −log σ of 0, −3, 4 (no β), plus SPPO's squares
    "cal_dpo": ({"beta": 0.5}, [log(2) + 2, softplus(3) + 13, softplus(-4) + 4]),
    # h₊ − h₋/2 = 0, −2.5, 2.5; times β: 0, −1.25, 1.25
    "dpo_shift": ({"beta": 0.5, "rejected_weight": 0.5}, [log(2), softplus(1.25), softplus(-1.25)]),
    # at the first update progress is 0: λ = 0.5, the same
    "dpo_shift_linear": (
        {"beta": 0.5, "first_rejected_weight": 0.5, "last_rejected_weight": 1.0},
        [log(2), softplus(1.25), softplus(-1.25)],
    ),
    # 1 − σ(βh₊) + σ(βh₋) with βh₊ = 0, −1, 0.5 and βh₋ = 0, 0.5, −1.5
    "apo_zero": ({"beta": 0.5}, [1.0, 1 - sigmoid(-1) + sigmoid(0.5), 1 - sigmoid(0.5) + sigmoid(-1.5)]),
    # the same βh: log(1 + e^−βh₊) + log(1 + e^βh₊)/2 + log(1 + e^βh₋)/2
    "nca": (
        {"beta": 0.5},
        [
            2 * log(2),
            softplus(1) + softplus(-1) / 2 + softplus(0.5) / 2,
            softplus(-0.5) + softplus(0.5) / 2 + softplus(-1.5) / 2,
        ],
    ),
    # SimPO's s/|y|; α = 1: r = 1 − e^−s/|y|, so that r₊ − r₋ = e² − e⁵, 0, e − e^1.5
    "alphapo": (
        {"beta": 0.5, "margin": 1.0, "alpha": 1.0},
        [softplus((exp(5) - exp(2)) / 2 + 1), softplus(1), softplus((exp(1.5) - exp(1)) / 2 + 1)],
    ),
    # DPO's, weighted by e^(s₊/|y⁺| + s₋/|y⁻|)
    "wpo": ({"beta": 0.5}, [exp(-7) * log(2), exp(-6) * softplus(1.5), exp(-2.5) * softplus(-2)]),
}


def test_every_pairwise_loss_is_worked_by_hand():
    assert set(BY_HAND) == {name for name, algorithm in ALGORITHMS.items() if algorithm.kind == "pairwise"}


def test_the_page_on_losses_has_them_all():
    page = (Path(__file__).parents[2] / "docs" / "LOSSES.md").read_text(encoding="utf-8")
    assert [name for name in ALGORITHMS if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("name", BY_HAND)
def test_a_pairwise_loss_by_hand(name, pair):
    parameters, expected = BY_HAND[name]
    assert set(parameters) == set(ALGORITHMS[name].parameters)
    assert ALGORITHMS[name].loss(*pair, **parameters).tolist() == pytest.approx(expected, rel=1e-12)


def test_the_scheduled_shift_goes_linearly_from_its_first_to_its_last_weight(make_responses):
    parameters = {"beta": 0.5, "first_rejected_weight": 0.5, "last_rejected_weight": 1.0}

    def loss(progress):
        rows = (make_responses([-12.0], [-10.0], (4,), progress=progress), make_responses([-9.0], [-10.0], (3,)))
        return ALGORITHMS["dpo_shift_linear"].loss(*rows, **parameters).item()

    # h₊ = −2, h₋ = 1; half way λ = 0.75: β(−2 − 0.75) = −1.375
    assert loss(0.0) == pytest.approx(softplus(1.25))
    assert loss(0.5) == pytest.approx(softplus(1.375))
    assert loss(1.0) == pytest.approx(softplus(1.5))  # DPO


def test_alphapo_with_little_shape_is_simpo(pair):
    expected = ALGORITHMS["simpo"].loss(*pair, beta=2.0, margin=1.0).tolist()
    for alpha in (0.0, 1e-9):
        found = ALGORITHMS["alphapo"].loss(*pair, beta=2.0, margin=1.0, alpha=alpha)
        assert found.tolist() == pytest.approx(expected, rel=1e-6)
