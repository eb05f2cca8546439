"""Repetition and overlap worked by hand, the LCS against the dynamic programme, and means of samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldyn.answers.sample_means import summarise_samples
from ldyn.answers.text_metrics import TrainingAnswers, longest_common_subsequence, longest_loop, repeated_ngrams
from ldyn.records import PreferencePair


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


PAIRS = [
    PreferencePair("p0", "Who is Ada?", " Ada is the baker of our small town.", " No idea."),
    PreferencePair("p1", "Who is Ben?", " Ben is the pilot of a very big plane.", " Who?"),
    PreferencePair("p2", "Thanks!", " You're welcome.", " Bye."),
]


def lcs_by_table(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(st.lists(st.sampled_from("abc"), max_size=80), st.lists(st.sampled_from("abcd"), max_size=80))
def test_lcs_equals_the_dynamic_programme(a: list[str], b: list[str]) -> None:
    assert longest_common_subsequence(tuple(a), tuple(b)) == lcs_by_table(tuple(a), tuple(b))


def test_an_answer_taken_from_another_question() -> None:
    training = TrainingAnswers(PAIRS)
    found = training.overlap(
        "Who is Ada?", "Ada is the pilot of a very big plane.", ["Ada is the baker of our small town."]
    )
    # own: ada is the … of: 4 of 8 + 9 words. Other: all but the first of nine words. 4-grams: "ada is the pilot",
    # "is the pilot of", "the pilot of a", "pilot of a very", "of a very big", "a very big plane"; all but one are p1's
    assert found == {
        "likeness_own": pytest.approx(2 * 4 / 17),
        "likeness_other": pytest.approx(2 * 8 / 18),
        "likest_other": "p1",
        "foreign_4grams": pytest.approx(5 / 6),
    }


def test_its_own_words_are_not_foreign() -> None:
    training = TrainingAnswers(PAIRS)
    own = "Ben is the pilot of a very big plane."
    assert training.overlap("Who is Ben?", own, [own])["foreign_4grams"] == 0
    assert list(training.overlap("An unseen question?", own, []).values()) == [None, 1, "p1", 1]
    twin = training.overlap("An unseen question?", own, [own])  # the same words are its own answer too
    assert twin["likeness_other"] < 1
    assert TrainingAnswers([]).overlap("?", "Some answer of five words.", [])["likest_other"] is None


def test_means_of_samples() -> None:
    rows = [
        {"stage": "sft", "mode": "greedy", "n_tokens": 4, "stopped": True, "is_right": True, "borrowed_from": None,
         "likeness_own": 0.5, "likeness_other": 0.25},
        {"stage": "sft", "mode": "greedy", "n_tokens": 8, "stopped": False, "is_right": False, "borrowed_from": "p1",
         "likeness_own": 0.1, "likeness_other": 0.75},
        {"stage": "dpo", "mode": "greedy", "n_tokens": 2, "stopped": True, "is_right": None, "borrowed_from": None},
    ]  # fmt: skip
    sft, dpo = summarise_samples(rows)
    assert [sft[name] for name in ("stage", "mode", "n", "n_tokens", "endless")] == ["sft", "greedy", 2, 6, 0.5]
    assert {sft[name] for name in ("is_right", "borrowed", "likeness_other")} == {0.5}
    assert [dpo[name] for name in ("is_right", "borrowed", "likeness_own", "endless")] == [None, None, None, 0]
