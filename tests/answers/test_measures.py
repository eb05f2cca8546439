"""Repetition worked by hand and by a search over all stretches, and means of samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldyn.answers.measures import longest_loop, repeated_ngrams, summarise_samples


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("", 0.0),
        ("a b c d e", 0.0),  # abcd, bcde
        ("a a a a a", 1 / 2),  # aaaa, aaaa
        ("a b a b a b a b", 3 / 5),  # abab baba abab baba abab: 2 distinct of 5
        ("a b c d x a b c d", 1 / 6),  # only abcd occurs again among six
    ],
)
def test_repeated_4grams(text: str, repeated: float) -> None:
    assert repeated_ngrams(text.split(), 4) == pytest.approx(repeated)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("a b c", 0),
        ("x a b a b a y", 5),
        ("a b c a b", 0),  # the block abc is not complete a second time
        ("a a b c d b c d b c", 8),  # bcd bcd bc beats aa
    ],
)
def test_longest_loop(text: str, length: int) -> None:
    assert longest_loop(text.split()) == length


@given(st.lists(st.sampled_from("abc"), max_size=14))
def test_longest_loop_equals_a_search_over_all_stretches(units: list[str]) -> None:
    def is_loop(stretch: list[str]) -> bool:
        periods = range(1, len(stretch) // 2 + 1)
        return any(stretch[period:] == stretch[:-period] for period in periods)

    ends = range(len(units) + 1)
    lengths = [end - start for end in ends for start in range(end) if is_loop(units[start:end])]
    assert longest_loop(units) == max(lengths, default=0)


def test_means_of_samples() -> None:
    rows = [
        {"stage": "sft", "mode": "greedy", "n_tokens": 4, "stopped": True, "is_right": True, "borrowed_from": None},
        {"stage": "sft", "mode": "greedy", "n_tokens": 8, "stopped": False, "is_right": False, "borrowed_from": "p1"},
        {"stage": "dpo", "mode": "greedy", "n_tokens": 2, "stopped": True, "is_right": None, "borrowed_from": None},
    ]  # fmt: skip
    sft, dpo = summarise_samples(rows)
    assert [sft[name] for name in ("stage", "mode", "n", "n_tokens", "endless")] == ["sft", "greedy", 2, 6, 0.5]
    assert {sft[name] for name in ("is_right", "borrowed")} == {0.5}
    assert [dpo[name] for name in ("is_right", "borrowed", "endless")] == [None, None, 0]
