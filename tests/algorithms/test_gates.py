"""Gates on three rows worked by hand: the loss keeps its value, the push on y⁻ is scaled."""

from math import exp, log

import pytest
import torch

from ldyn.algorithms import ALGORITHMS, GATES, gated

MASK = torch.tensor([[True, True, True, True], [False, True, True, False], [True, True, True, True]])
# Row 1 has four tokens of probability 1/2; row 2 two, 1/2 and 1/8, with geometric mean 1/4; row 3 one unlikely token.
PROBABILITIES = torch.tensor([[0.5, 0.5, 0.5, 0.5], [1.0, 0.5, 0.125, 1.0], [0.9, 0.9, 0.001, 0.9]]).double()


@pytest.fixture
def rejected(make_responses):
    token_logps = PROBABILITIES.log().masked_fill(~MASK, 0.0)
    logp = token_logps.sum(dim=1)
    return make_responses(logp, logp.tolist(), MASK.sum(dim=1).tolist(), token_logps=token_logps, token_mask=MASK)


@pytest.fixture
def chosen(make_responses):
    return make_responses([-3.0, -3.0, -3.0], [-3.0, -3.0, -3.0])


def test_the_sequence_gate_reads_the_geometric_mean(rejected):
    found = GATES["sequence"].probability(rejected).tolist()
    # 1/2; √(1/2 · 1/8) = 1/4; (0.9³ · 0.001)^¼
    assert found == pytest.approx([0.5, 0.25, (0.9**3 * 0.001) ** 0.25])


def test_the_quantile_gate_reads_the_ten_per_cent_quantile_of_real_tokens(rejected):
    found = GATES["quantile"].probability(rejected).tolist()
    # of n sorted values the one at position 0.1 (n − 1): 1/2; 1/8 + 0.1 · 3/8; 0.001 + 0.3 · 0.899
    assert found == pytest.approx([0.5, 0.125 + 0.1 * 0.375, 0.001 + 0.3 * 0.899])


@pytest.mark.parametrize("gate", GATES)
def test_a_gate_scales_the_push_by_hand(gate, chosen, rejected):
    algorithm = gated(ALGORITHMS["dpo"], GATES[gate])
    loss = algorithm.loss(chosen, rejected, beta=0.5, gate_threshold=0.25, gate_sharpness=8.0)
    at_chosen, at_rejected = torch.autograd.grad(loss.sum(), (chosen.logp, rejected.logp))
    # every margin is 0: the loss is log 2 and DPO's coefficients ±β/2 = ±0.25
    assert loss.tolist() == pytest.approx([log(2)] * 3)
    assert at_chosen.tolist() == pytest.approx([-0.25] * 3)
    opening = [1 / (1 + exp(-8 * (p - 0.25))) for p in GATES[gate].probability(rejected).tolist()]
    assert at_rejected.tolist() == pytest.approx([0.25 * g for g in opening])
    if gate == "sequence":
        assert opening[:2] == pytest.approx([1 / (1 + exp(-2)), 0.5])
