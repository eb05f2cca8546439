"""Reference log-probs against each response alone, and pairs that a model cannot take."""

import dataclasses

import pytest
import torch

from ldyn.errors import DataError, ModelError
from ldyn.training.batches import Layout
from ldyn.training.reference import check_pairs, reference_logps


@pytest.mark.parametrize("plain", [False, True])
def test_they_are_the_summed_logps_of_each_response_alone(plain, make_model, pairs):
    model = make_model()
    layout = Layout(pad_id=1, hidden_size=32, plain=plain, token_budget=64)
    found = reference_logps(model, pairs, precision="fp32", layout=layout)
    oracle = model.double()
    for pair, row in zip(pairs, found, strict=True):
        for response, logp in zip((pair.chosen_ids, pair.rejected_ids), row, strict=True):
            logits = oracle(torch.tensor([[*pair.prompt_ids, *response]])).logits[0].log_softmax(-1)
            first = len(pair.prompt_ids) - 1
            assert logp == pytest.approx(sum(logits[first + i, t].item() for i, t in enumerate(response)), abs=1e-4)


def test_tokens_of_another_vocabulary(make_model, pairs):
    foreign = [*pairs, dataclasses.replace(pairs[0], rejected_ids=(40, 0))]
    check_pairs(make_model(), pairs)
    with pytest.raises(ModelError, match=r"token id 40, but the model embeds 40 tokens"):
        check_pairs(make_model(), foreign)


def test_pairs_longer_than_the_model_s_positions(make_model, pairs):
    """A rotary model would train beyond them, GPT-2 would end in an IndexError."""
    fits = dataclasses.replace(pairs[0], prompt_ids=(3,) * 62, chosen_ids=(5, 0), rejected_ids=(5, 0))
    check_pairs(make_model(), [fits])
    with pytest.raises(DataError, match=r"65 tokens, but the model has 64 positions; lower dataset\.encoding"):
        check_pairs(make_model(), [*pairs, dataclasses.replace(fits, rejected_ids=(5, 6, 0))])
