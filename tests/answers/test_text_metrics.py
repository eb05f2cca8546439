"""Repetition, worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldyn.answers.text_metrics import distinct_ngrams, longest_loop, repeated_ngrams


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("", 0.0),
        ("a b c", 0.0),  # too short for a 4-gram
        ("a b c d e", 0.0),  # abcd, bcde
        ("a a a a a", 1 / 2),  # aaaa, aaaa
        ("a b a b a b a b", 3 / 5),  # abab baba abab baba abab: 2 distinct of 5
        ("a b c d x a b c d", 1 / 6),  # only abcd occurs again among six
    ],
)
def test_repeated_4grams(text: str, repeated: float) -> None:
    assert repeated_ngrams(text.split(), 4) == pytest.approx(repeated)


@pytest.mark.parametrize(
    ("text", "distinct"),
    [("", 1.0), ("a", 1.0), ("a b", 1.0), ("a b a b a b", 2 / 5), ("a a a a", 1 / 3), ("a b c a b", 3 / 4)],
)
def test_distinct_2(text: str, distinct: float) -> None:
    assert distinct_ngrams(text.split(), 2) == pytest.approx(distinct)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("a", 0),
        ("a b c", 0),
        ("a a", 2),
        ("x a b a b a y", 5),
        ("a b c a b", 0),  # the block abc is not complete a second time
        ("a b c a b c", 6),
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
