"""Reference log-probs: what they are, that they are cached by content, and what happens to a damaged cache."""

import copy
import dataclasses
import logging
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from ldyn.errors import DataError, ModelError
from ldyn.training import reference
from ldyn.training.batches import Layout
from ldyn.training.reference import check_pairs, reference_logps

LAYOUT = Layout(pad_id=1, hidden_size=32, plain=False, token_budget=64)


def computed(model, tokenizer, pairs, cache_dir, precision="fp32"):
    return reference_logps(model, tokenizer, pairs, precision=precision, layout=LAYOUT, cache_dir=cache_dir)


def entries(cache: Path) -> list[Path]:
    return [entry for entry in (cache / "reference").iterdir() if entry.is_dir()]


@pytest.fixture
def counted(monkeypatch):
    """How often the numbers were computed, not read."""
    calls, original = [], reference._computed
    monkeypatch.setattr(reference, "_computed", lambda *given: calls.append(1) or original(*given))
    return calls


def test_they_are_the_summed_logps_of_each_response_alone(make_model, tokenizer, pairs):
    model = make_model()
    found = computed(model, tokenizer, pairs, None)
    oracle = model.double()
    for pair, row in zip(pairs, found, strict=True):
        for response, logp in zip((pair.chosen_ids, pair.rejected_ids), row, strict=True):
            logits = oracle(torch.tensor([[*pair.prompt_ids, *response]])).logits[0].log_softmax(-1)
            first = len(pair.prompt_ids) - 1
            assert logp == pytest.approx(sum(logits[first + i, t].item() for i, t in enumerate(response)), abs=1e-4)


def test_a_second_run_reads_the_same_bits(make_model, tokenizer, pairs, tmp_path, counted):
    first = computed(make_model(), tokenizer, pairs, tmp_path)
    again = computed(make_model(), tokenizer, pairs, tmp_path)
    assert np.array_equal(first, again)
    assert first.dtype == again.dtype == np.float32
    assert len(counted) == 1


def rotated(model):
    """The same weights under another config: positions are rotated by other angles."""
    config = copy.deepcopy(model.config)
    config.rope_parameters = {**config.rope_parameters, "rope_theta": 50.0}
    other = type(model)(config)
    other.load_state_dict(model.state_dict())
    return other


def test_weights_config_rows_and_precision_decide_what_is_read(make_model, tokenizer, pairs, tmp_path, counted):
    other_pair = dataclasses.replace(pairs[0], chosen_ids=(5, 0))
    for given in (
        (make_model(0), pairs, "fp32"),
        (make_model(1), pairs, "fp32"),
        (make_model(0), [other_pair, *pairs[1:]], "fp32"),
        (make_model(0), pairs, "bf16"),
        (rotated(make_model(0)), pairs, "fp32"),
    ):
        computed(given[0], tokenizer, given[1], tmp_path, given[2])
    assert len(counted) == len(entries(tmp_path)) == 5


def test_padded_ones_differ_by_rounding(make_model, tokenizer, pairs, tmp_path, monkeypatch, counted):
    packed = computed(make_model(), tokenizer, pairs, tmp_path)
    monkeypatch.setitem(globals(), "LAYOUT", dataclasses.replace(LAYOUT, plain=True))
    padded = computed(make_model(), tokenizer, pairs, tmp_path)
    assert len(counted) == 2  # neither is taken for the other
    np.testing.assert_allclose(padded, packed, atol=2e-5)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"1234"])
def test_a_damaged_file_is_made_again(content, make_model, tokenizer, pairs, tmp_path, caplog, counted):
    first = computed(make_model(), tokenizer, pairs, tmp_path)
    [entry] = entries(tmp_path)
    file = entry / "logps.npy"
    file.write_bytes(file.read_bytes()[:-4] + content if content == b"1234" else content)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(computed(make_model(), tokenizer, pairs, tmp_path), first)
    assert "logps.npy has changed" in caplog.text
    assert np.array_equal(np.load(file), first)
    assert len(counted) == 2


def test_a_cache_that_cannot_be_written_costs_only_the_cache(make_model, tokenizer, pairs, tmp_path, caplog):
    (tmp_path / "reference").write_text("a file where a directory should be")
    with caplog.at_level(logging.WARNING):
        assert computed(make_model(), tokenizer, pairs, tmp_path).shape == (13, 2)
    assert "are not cached" in caplog.text


def test_jobs_that_write_at_once_leave_one_whole_file(tmp_path):
    entry, logps = tmp_path / "reference" / "same", np.arange(20_000, dtype=np.float32).reshape(-1, 2)
    jobs = [threading.Thread(target=reference._write, args=(entry, logps)) for _ in range(8)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [path.name for path in entries(tmp_path)] == ["same"]
    assert np.array_equal(reference._read(entry), logps)


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
