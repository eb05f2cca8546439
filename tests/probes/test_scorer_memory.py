"""The token budget: chosen from free memory, halved when memory runs out, and never at the cost of a response."""

import warnings
from collections import Counter

import pytest
import torch

from ldyn.errors import ModelError
from ldyn.models.packing import PackedBatch
from ldyn.probes import engine, forward
from ldyn.probes.engine import TokenBudget, is_out_of_memory
from ldyn.probes.forward import FEWEST_TOKENS
from ldyn.probes.scorer import score_probes

SHORTAGES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    MemoryError("Unable to allocate 9 bytes"),
]


class Room:
    """Stands for memory that holds ``tokens`` tokens: more in one forward pass fail. Keeps what was scored."""

    def __init__(self, monkeypatch, tokens, error=SHORTAGES[0]):
        self.tokens, self.error = tokens, error
        self.scored: list[PackedBatch] = []
        self.shortages = 0
        self._original = engine.batch_stats
        monkeypatch.setattr(engine, "batch_stats", self._batch_stats)

    def _batch_stats(self, model, batch, **options):
        if batch.input_ids.numel() > self.tokens:
            self.shortages += 1
            raise self.error
        stats = self._original(model, batch, **options)
        self.scored.append(batch)
        return stats


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: type(error).__name__)
def test_a_shortage_loses_and_doubles_nothing(tiny_model, examples, assert_close, monkeypatch, error):
    model = tiny_model("qwen3")
    expected = score_probes(model, examples, token_budget=4000, pad_id=0)
    room = Room(monkeypatch, tokens=70, error=error)
    with pytest.warns(UserWarning, match="Memory ran out while scoring 4000 tokens") as said:
        found = score_probes(model, examples, token_budget=4000, pad_id=0)
    assert_close(found, expected, 1e-5)
    assert len(said) == 1
    assert room.shortages > 1
    times = Counter(key for batch in room.scored for key in batch.keys)
    assert set(times.values()) == {1}
    assert len(times) == len(expected)


def test_a_shortage_in_the_middle_keeps_what_is_done(tiny_model, examples, assert_close, monkeypatch):
    model = tiny_model("gpt2")
    expected = score_probes(model, examples, token_budget=4000, pad_id=0)
    room = Room(monkeypatch, tokens=4000)
    original = room._batch_stats

    def shrinking(model, batch, **options):
        room.tokens = 60 if len(room.scored) == 2 else room.tokens  # others took the rest of the memory meanwhile
        return original(model, batch, **options)

    monkeypatch.setattr(engine, "batch_stats", shrinking)
    with pytest.warns(UserWarning, match="Memory ran out"):
        found = score_probes(model, examples, token_budget=110, pad_id=0)
    assert_close(found, expected, 1e-5)
    times = Counter(key for batch in room.scored for key in batch.keys)
    assert set(times.values()) == {1}


def test_what_a_shortage_taught_is_kept_for_the_next_call(tiny_model, examples, monkeypatch):
    model, room, budget = tiny_model("gpt2"), Room(monkeypatch, tokens=70), TokenBudget(2000)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        score_probes(model, examples, token_budget=budget, pad_id=0)
        before = room.shortages
        score_probes(model, examples, token_budget=budget, pad_id=0)
    assert room.shortages == before
    assert len(said) == 1


def test_a_single_response_that_does_not_fit_is_named(tiny_model, examples, monkeypatch):
    Room(monkeypatch, tokens=50)
    with (
        pytest.warns(UserWarning, match="Memory ran out"),
        pytest.raises(ModelError, match=r"probe 'probe3' of train example 'id2' alone \(57 tokens with its prompt"),
    ):
        score_probes(tiny_model("gpt2"), examples, token_budget=2000, pad_id=0)


def test_other_errors_are_not_taken_for_a_shortage(tiny_model, examples, monkeypatch):
    room = Room(monkeypatch, tokens=0, error=RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        score_probes(tiny_model("gpt2"), examples, token_budget=2000, pad_id=0)
    assert room.shortages == 1


def test_a_real_shortage_is_recognised():
    with pytest.raises(RuntimeError) as shortage:
        torch.empty(2**60)  # 4 EiB
    assert is_out_of_memory(shortage.value)


@pytest.mark.parametrize("kind", ["gpt2", "gemma3"])
def test_logits_are_made_of_no_more_positions_than_the_budget_has_tokens(
    tiny_model, examples, assert_close, monkeypatch, kind
):
    sizes: list[int] = []
    original = forward.unembed

    def counted(model, hidden, out):
        sizes.append(len(hidden))
        return original(model, hidden, out)

    monkeypatch.setattr(forward, "unembed", counted)
    scores = {}
    for budget in (1, 20, 4000):
        sizes.clear()
        scores[budget] = score_probes(tiny_model(kind), examples, token_budget=budget, pad_id=0)
        assert max(sizes) <= max(FEWEST_TOKENS, min(budget, forward.CPU_CHUNK))
    assert_close(scores[1], scores[4000], 1e-5)
    assert_close(scores[20], scores[4000], 1e-5)
