"""The scorer against a plain oracle, and what must not matter to it."""

import dataclasses
import math

import pytest
import torch

from ldyn.errors import DataError
from ldyn.probes.scorer import score_probes
from ldyn.records import EncodedProbeExample

UNUSED = 60  # the last of the vocabulary, which no example has


@pytest.mark.parametrize("token_budget", [1, 30, 100, 10_000])
def test_the_budget_does_not_matter(tiny_model, examples, assert_close, token_budget):
    model = tiny_model("gpt_neox")
    reference = score_probes(model, examples, token_budget=300, pad_id=0)
    assert_close(score_probes(model, examples, token_budget=token_budget, pad_id=0), reference, 1e-5)


def test_order_company_and_padding_token_do_not_matter(tiny_model, examples, assert_close):
    model = tiny_model("llama")
    reference = score_probes(model, examples, token_budget=120, pad_id=0)
    backwards = score_probes(model, examples[::-1], token_budget=120, pad_id=7)
    by_example = [score_probes(model, [item], token_budget=120, pad_id=3) for item in examples[::-1]]
    assert_close(backwards, [score for scores in by_example for score in scores], 1e-5)
    assert_close([score for scores in by_example[::-1] for score in scores], reference, 1e-5)


def test_a_response_does_not_see_another_one(tiny_model, examples):
    model = tiny_model("gpt2")
    changed = dataclasses.replace(
        examples[0], responses={**examples[0].responses, "probe0": (5, 5, 5), "probe3": (9,) * 20}
    )
    before = score_probes(model, examples[:1], token_budget=500, pad_id=0)
    after = score_probes(model, [changed], token_budget=500, pad_id=0)
    for k in (1, 2, 4):
        assert before[k] == after[k]
    assert before[0].logp != after[0].logp


def test_scoring_leaves_no_trace(tiny_model, examples):
    model = tiny_model("gpt_neox")  # its dropout would draw random numbers in training mode
    model.train()
    model.gpt_neox.layers[1].eval()  # a mixture of modes, as frozen layers have
    modes = [module.training for module in model.modules()]
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config, random_state = model.config.to_dict(), torch.get_rng_state()
    first = score_probes(model, examples, token_budget=100, pad_id=0)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert model.config.to_dict() == config
    assert torch.is_grad_enabled()
    assert score_probes(model.eval(), examples, token_budget=100, pad_id=0) == first


def test_a_nonfinite_logit_flags_its_response_only(tiny_model, example, assert_close):
    model = tiny_model("gpt2")
    clean = example(10, 4, [5, 6])
    hit = dataclasses.replace(clean, responses={**clean.responses, "probe1": (1, UNUSED, 2)})
    expected = score_probes(model, [clean, clean], token_budget=500, pad_id=0)
    hook = model.get_input_embeddings().register_forward_hook(_poison)
    scores = score_probes(model, [hit, clean], token_budget=500, pad_id=0)
    hook.remove()
    assert [math.isnan(score.entropy) for score in scores] == [False, True, False, False]
    assert all(math.isnan(value) for value in dataclasses.astuple(scores[1])[4:])
    assert_close([scores[0], *scores[2:]], [expected[0], *expected[2:]], 1e-5)


def _poison(_module, args, output):
    """Make the embedding of one token NaN, as a broken checkpoint may have it."""
    return output.masked_fill((args[0] == UNUSED)[..., None], math.nan)


def test_what_the_model_cannot_take_is_refused_before_any_forward(tiny_model, example):
    model = tiny_model("gpt2")
    faulty = [
        example(0, 60, [4, 5]),  # 65 tokens of 64
        EncodedProbeExample("test", "empty", (1,), {"chosen": ()}),
        EncodedProbeExample("test", "stranger", (1,), {"chosen": (2, 61)}),
        EncodedProbeExample("test", "bare", (), {"chosen": (2,)}),
    ]
    with pytest.raises(DataError) as error:
        score_probes(model, faulty, token_budget=100, pad_id=0)
    message = str(error.value)
    assert "4 probe responses" in message
    assert "'id0', probe 'probe1': 65 tokens, but the model has 64 positions; lower dataset.encoding" in message
    assert "'empty', probe 'chosen': no token is left" in message
    assert f"token id {61} is outside" in message
    assert "'bare': the prompt has no token" in message


def test_no_examples_give_no_scores(tiny_model):
    assert score_probes(tiny_model("gpt2"), [], token_budget=100, pad_id=0) == []
