"""Which responses share a row, and which rows a batch: the rules and their invariants."""

import math
import random

import pytest

from ldyn.models.packing import Document, pack, split
from ldyn.probes.rows import MAX_PADDING, narrowed, plan_batches, plan_rows
from ldyn.records import EncodedProbeExample


def examples(count, seed=0):
    rng = random.Random(seed)

    def ids(longest):
        return tuple(rng.choices(range(1, 50), k=rng.randint(1, longest)))

    return [EncodedProbeExample("train", str(i), ids(40), {f"p{k}": ids(60) for k in range(9)}) for i in range(count)]


@pytest.mark.parametrize("token_budget", [1, 64, 500, 10**6])
@pytest.mark.parametrize("hidden_size", [1, 128, 10**6])
def test_each_response_stands_in_one_row_and_no_batch_breaks_its_limits(hidden_size, token_budget):
    members = examples(20)
    rows = plan_rows(members, hidden_size=hidden_size, token_budget=token_budget)
    placed = [(key, ids) for row in rows for key, ids in zip(row.keys, row.responses, strict=True)]
    expected = [((i, probe), ids) for i, one in enumerate(members) for probe, ids in one.responses.items()]
    assert sorted(placed) == sorted(expected)
    assert all(row.prompt_ids == members[row.keys[0][0]].prompt_ids for row in rows)
    for batch in plan_batches(rows, token_budget=token_budget, joined=True):
        assert len(batch) == 1 or sum(row.n_tokens for row in batch) <= token_budget
    batches = plan_batches(rows, token_budget=token_budget)
    assert sum(map(len, batches)) == len(rows)
    for batch in batches:
        ids = pack([[row] for row in batch], pad_id=0).input_ids  # the examples' own ids are above 0
        assert len(batch) == 1 or ids.numel() <= token_budget
        assert float((ids == 0).float().mean()) <= MAX_PADDING


def test_rows_are_as_long_as_the_rule_says():
    # c = 3, P = 12, h = 64: √(3 · 12 · 64) = 48 response tokens a row, and 10 · 24 are there: five rows of two.
    one = EncodedProbeExample("train", "x", (1,) * 12, {f"p{k}": (2,) * 24 for k in range(10)})
    rows = plan_rows([one], hidden_size=64, token_budget=10**6)
    assert [row.n_response_tokens for row in rows] == [48] * 5
    assert [row.n_tokens for row in rows] == [60] * 5
    [row] = plan_rows([one], hidden_size=math.inf, token_budget=10**6)
    assert row.n_response_tokens == 240
    tight = plan_rows([one], hidden_size=64, token_budget=12 + 24)
    assert [row.n_tokens for row in tight] == [36] * 10


def test_a_row_is_halved_until_it_fits():
    row = Document((1,) * 10, tuple((0, str(k)) for k in range(5)), ((2,) * 4,) * 5)  # 30 tokens
    assert narrowed(row, 30) == [row]
    assert [part.n_tokens for part in narrowed(row, 29)] == [18, 22]
    assert [part.n_tokens for part in narrowed(row, 3)] == [14] * 5
    for budget in (29, 20, 3):
        assert [part for narrow in narrowed(row, budget) for part in split([narrow])] == list(split([row]))
