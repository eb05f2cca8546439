"""The layout of packed rows: worked by hand, and its invariants."""

import random

import pytest
import torch

from ldyn.probes.packing import (
    MAX_PADDING,
    PackedRow,
    lay_plainly,
    may_attend,
    narrowed,
    pack,
    plan_batches,
    plan_rows,
    single_rows,
    split_row,
)
from ldyn.records import EncodedProbeExample


def examples(count: int, seed: int = 0) -> list[EncodedProbeExample]:
    rng = random.Random(seed)

    def ids(longest: int) -> tuple[int, ...]:
        return tuple(rng.choices(range(1, 50), k=rng.randint(1, longest)))

    return [EncodedProbeExample("train", str(i), ids(40), {f"p{k}": ids(60) for k in range(9)}) for i in range(count)]


def test_two_rows_worked_by_hand() -> None:
    rows = [
        PackedRow((10, 11), ((0, "a"), (0, "b")), ((20, 21), (22,))),
        PackedRow((12,), ((1, "a"),), ((23, 24),)),
    ]
    batch = pack(rows, pad_id=0)
    assert batch.input_ids.tolist() == [[10, 11, 20, 21, 22], [0, 12, 23, 24, 0]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 2], [0, 0, 1, 2, 0]]  # response b goes on from the prompt
    allowed = may_attend(batch.segments).int()
    assert allowed[0].tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],  # b sees the prompt and itself, not a
    ]
    assert allowed[1].tolist() == [
        [1, 0, 0, 0, 0],  # padding sees padding, so that no row of the softmax is empty
        [0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [1, 0, 0, 0, 1],
    ]
    # Labels 20 21 22 | 23 24 are predicted from columns 1 2 1 | 1 2 of rows that are 5 tokens long.
    assert batch.needed.tolist() == [1, 2, 6, 7]
    assert batch.rows.tolist() == [0, 1, 0, 2, 3]
    assert batch.labels.tolist() == [20, 21, 22, 23, 24]
    assert batch.keys == ((0, "a"), (0, "b"), (1, "a"))
    assert batch.lengths == (2, 1, 2)


def test_plain_rows_worked_by_hand() -> None:
    members = [EncodedProbeExample("train", "x", (10, 11), {"a": (20, 21), "b": (22,)})]
    batch = lay_plainly(single_rows(members, [0]), pad_id=7)
    assert batch.input_ids.tolist() == [[10, 11, 20, 21], [10, 11, 22, 7]]
    assert batch.position_ids is None
    assert batch.segments.tolist() == [[0, 0, 0, 0], [0, 0, 0, -1]]
    assert batch.needed.tolist() == [1, 2, 5]
    assert batch.rows.tolist() == [0, 1, 2]
    assert batch.labels.tolist() == [20, 21, 22]
    assert batch.keys == ((0, "a"), (0, "b"))
    assert batch.lengths == (2, 1)


@pytest.mark.parametrize("token_budget", [1, 64, 500, 10**6])
@pytest.mark.parametrize("hidden_size", [1, 128, 10**6])
def test_each_response_stands_in_one_row_and_no_batch_breaks_its_limits(hidden_size: int, token_budget: int) -> None:
    members = examples(20)
    rows = plan_rows(members, hidden_size=hidden_size, token_budget=token_budget)
    placed = [(key, ids) for row in rows for key, ids in zip(row.keys, row.responses, strict=True)]
    expected = [((i, probe), ids) for i, one in enumerate(members) for probe, ids in one.responses.items()]
    assert sorted(placed) == sorted(expected)
    assert all(row.prompt_ids == members[row.keys[0][0]].prompt_ids for row in rows)
    batches = plan_batches(rows, token_budget=token_budget)
    assert sum(map(len, batches)) == len(rows)
    for batch in batches:
        ids = pack(batch, pad_id=0).input_ids  # the examples' own ids are above 0
        assert len(batch) == 1 or ids.numel() <= token_budget
        assert float((ids == 0).float().mean()) <= MAX_PADDING


def test_rows_are_as_long_as_the_rule_says() -> None:
    # c = 3, P = 12, h = 64: √(3 · 12 · 64) = 48 response tokens a row, and 10 · 24 are there: five rows of two.
    one = EncodedProbeExample("train", "x", (1,) * 12, {f"p{k}": (2,) * 24 for k in range(10)})
    rows = plan_rows([one], hidden_size=64, token_budget=10**6)
    assert [row.n_response_tokens for row in rows] == [48] * 5
    assert [row.n_tokens for row in rows] == [60] * 5
    tight = plan_rows([one], hidden_size=64, token_budget=12 + 24)
    assert [row.n_tokens for row in tight] == [36] * 10


def test_a_row_splits_into_its_responses() -> None:
    row = PackedRow((1, 2), ((3, "a"), (3, "b")), ((4,), (5, 6)))
    assert split_row(row) == [PackedRow((1, 2), ((3, "a"),), ((4,),)), PackedRow((1, 2), ((3, "b"),), ((5, 6),))]


def test_a_row_is_halved_until_it_fits() -> None:
    row = PackedRow((1,) * 10, tuple((0, str(k)) for k in range(5)), ((2,) * 4,) * 5)  # 30 tokens
    assert narrowed(row, 30) == [row]
    assert [part.n_tokens for part in narrowed(row, 29)] == [18, 22]
    assert [part.n_tokens for part in narrowed(row, 3)] == [14] * 5
    for budget in (29, 20, 3):
        assert [part for narrow in narrowed(row, budget) for part in split_row(narrow)] == split_row(row)


def test_shares_keep_the_index_of_their_examples() -> None:
    members = examples(7)
    limits = {"hidden_size": 64, "token_budget": 400}
    shares = [plan_rows(members, **limits, indices=range(rank, 7, 3)) for rank in range(3)]
    keys = [key for share in shares for row in share for key in row.keys]
    assert sorted(keys) == sorted(key for row in plan_rows(members, **limits) for key in row.keys)
    assert {index for row in shares[1] for index, _ in row.keys} == {1, 4}


def test_every_token_may_attend_to_itself() -> None:
    rows = plan_rows(examples(3), hidden_size=64, token_budget=400)
    for batch in plan_batches(rows, token_budget=400):
        allowed = may_attend(pack(batch, pad_id=0).segments)
        assert bool(torch.diagonal(allowed, dim1=1, dim2=2).all())
