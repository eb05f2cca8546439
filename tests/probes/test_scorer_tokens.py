"""Token records: token by token against the oracle, and what they say of two models against each other."""

import copy
import math

import numpy as np
import pytest
import torch

from ldyn.errors import DataError
from ldyn.probes.scorer import score_probes, score_tokens
from ldyn.records import EncodedProbeExample


@pytest.fixture
def members(examples):
    return examples[:4]  # each id once


def oracle_logps(model, item, probe):
    """[n_tokens, V], in float64."""
    response = item.responses[probe]
    with torch.no_grad():
        logits = copy.deepcopy(model).double().eval()(input_ids=torch.tensor([[*item.prompt_ids, *response]])).logits[0]
    return logits[len(item.prompt_ids) - 1 : -1].log_softmax(-1)


def changed(model):
    """As after a few updates."""
    later = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in later.parameters():
            parameter.add_(0.05 * parameter.std() * torch.randn(parameter.shape, generator=generator))
    return later


def records_by_key(records):
    return {(record.example_id, record.probe): record for record in records}


@pytest.mark.parametrize("budget", [40, 4000])
@pytest.mark.parametrize("kind", ["gpt_neox", "granite"])
def test_records_equal_the_oracle(tiny_model, members, kind, budget):
    model = tiny_model(kind)
    later = changed(model)
    _, start = score_tokens(model, members, token_budget=budget, pad_id=0)
    scores, records = score_tokens(later, members, token_budget=budget, pad_id=0, start=start)
    assert [(r.example_id, r.probe, r.n_tokens) for r in records] == [
        (s.example_id, s.probe, s.n_tokens) for s in scores
    ]
    by_key = records_by_key(records)
    gained_anywhere = []
    for item in members:
        for probe, response in item.responses.items():
            before, after = oracle_logps(model, item, probe), oracle_logps(later, item, probe)
            positions, greedy = torch.arange(len(response)), before.argmax(-1)
            record = by_key[item.example_id, probe]
            assert tuple(record.token_ids) == response
            assert record.argmax_ids.tolist() == after.argmax(-1).tolist()
            expected = {
                "logp": after[positions, torch.tensor(response)],
                "logp_argmax": after.amax(-1),
                "entropy": -(after.exp() * after).sum(-1),
                "logp_start_argmax": after[positions, greedy],
            }
            for name, values in expected.items():
                np.testing.assert_allclose(getattr(record, name), values.numpy(), rtol=1e-4, atol=1e-4, err_msg=name)
            gained = after[positions, greedy] > before[positions, greedy]
            assert record.argmax_gained == pytest.approx(float(gained.double().mean()))
            kept = after.exp().gather(1, before.topk(8).indices).sum(1)
            assert record.kept_mass == pytest.approx(float(kept.mean()), rel=1e-4)
            assert record.start_ids is None
            gained_anywhere.append(record.argmax_gained)
    assert 0 < np.mean(gained_anywhere) < 1


def test_the_start_itself(tiny_model, members):
    model = tiny_model("qwen2")
    _, start = score_tokens(model, members, token_budget=200, pad_id=0)
    _, again = score_tokens(model, members, token_budget=200, pad_id=0, start=start)
    for first, second in zip(start, again, strict=True):
        assert first.argmax_gained == second.argmax_gained == 0.0  # nothing has moved, so nothing has gained
        assert first.kept_mass == second.kept_mass
        assert np.array_equal(first.logp_start_argmax, first.logp_argmax)
        assert first.start_ids is not None
        assert first.start_ids.shape == (first.n_tokens, 8)
        assert first.start_ids[:, 0].tolist() == first.argmax_ids.tolist()
        top = oracle_logps(model, *_of(first, members)).topk(8)
        assert first.kept_mass == pytest.approx(float(top.values.exp().sum(1).mean()), rel=1e-4)


def _of(record, members):
    return next(item for item in members if item.example_id == record.example_id), record.probe


def test_tokens_sum_up_to_the_scores_and_do_not_change_them(tiny_model, members):
    model = tiny_model("llama")
    scores, records = score_tokens(model, members, token_budget=200, pad_id=0)
    assert scores == score_probes(model, members, token_budget=200, pad_id=0)
    for score, record in zip(scores, records, strict=True):
        assert record.logp.sum(dtype=np.float64) == pytest.approx(score.logp, rel=1e-6)
        assert record.logp_argmax.sum(dtype=np.float64) == pytest.approx(score.logp_argmax, rel=1e-6)
        assert record.entropy.mean(dtype=np.float64) == pytest.approx(score.entropy, rel=1e-6)
        assert float(np.mean(record.argmax_ids == record.token_ids)) == score.argmax_is_label


def test_a_start_of_other_responses_is_refused(tiny_model, members):
    model = tiny_model("gpt2")
    _, start = score_tokens(model, members[1:], token_budget=200, pad_id=0)
    with pytest.raises(DataError, match="probe3 of train example id0 has no record of the stage's start"):
        score_tokens(model, members, token_budget=200, pad_id=0, start=start)
    moved = EncodedProbeExample("train", "id1", (3, 4), {"probe0": (9,)})
    with pytest.raises(DataError, match=r"probe0 of train example id1 has no record .*, or one of another response"):
        score_tokens(model, [moved], token_budget=200, pad_id=0, start=start)


def test_a_nonfinite_logit_leaves_no_number_that_could_be_taken_for_one(tiny_model, members):
    model = tiny_model("gpt2")
    _, start = score_tokens(model, members, token_budget=200, pad_id=0)
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.transformer.wte.weight[members[0].responses["probe1"][-2]] = math.nan  # tied: every logit of it
    _, records = score_tokens(broken, members, token_budget=200, pad_id=0, start=start)
    record = records_by_key(records)["id0", "probe1"]
    assert np.isnan(record.entropy[-1])
    assert math.isnan(record.argmax_gained)
    assert math.isnan(record.kept_mass)
