"""Which rows become pairs, which are held out, and that nothing unseen has been seen."""

from __future__ import annotations

from collections import Counter

from ldyn.data.rows import RawRows, RowsConfig, assemble
from ldyn.data.text import question_key
from ldyn.records import ProbeExample


def row(number, prompt=None):
    return ProbeExample(
        f"row-{number}", prompt or f"Question {number}?", {"chosen": f"yes {number}", "rejected": f"no {number}"}
    )


def assembled(train, test=None, seed=0, **rules):
    return assemble(RawRows("rows", train, test, Counter()), RowsConfig(**rules), seed=seed)


def keys(items):
    return {question_key(item.prompt) for item in items}


def test_case_spacing_and_unicode_forms_make_no_other_question():
    same = ["Où est  le café?", "où est le café? ", "OÙ EST\nLE CAFÉ?", "Où est le cafe\u0301?", "Où est le café？"]
    assert len(set(map(question_key, same))) == 1
    assert question_key("Où est le cafe?") != question_key(same[0])


def test_a_test_question_is_dropped_if_it_is_trained_on_in_other_letters():
    data = assembled([row(1), row(2, "  QUESTION 1? "), row(3)], [row(4, "question  3?"), row(5)])
    assert [pair.pair_id for pair in data.pairs] == ["row-1", "row-3"]
    assert [example.example_id for example in data.probes["test"]] == ["row-5"]
    assert (data.counts["train.dropped_repeated_prompt"], data.counts["test.dropped_prompt_in_train"]) == (1, 1)


def test_held_out_questions_are_drawn_without_replacement_and_trained_on_by_nothing():
    rows = [row(number % 50, f"{' ' * (number // 50)}Question {number % 50}?") for number in range(150)]  # thrice each
    data = assembled(rows, n_train=20)
    assert (len(data.pairs), len(data.probes["test"]), data.counts["test.held_out"]) == (20, 5, 5)
    assert len(keys(data.pairs)) == 20
    assert keys(data.pairs).isdisjoint(keys(data.probes["test"]))
    assert not any(f"yes {example.example_id.removeprefix('row-')}" in data.corpus for example in data.probes["test"])
    assert assembled(rows, n_train=20) == data
    assert keys(assembled(rows, n_train=20, seed=1).probes["test"]) != keys(data.probes["test"])


def test_one_in_ten_is_held_out_but_never_more_than_500():
    assert assembled([row(number) for number in range(9)]).probes["test"] == ()
    assert len(assembled([row(number) for number in range(6000)], n_train=10).probes["test"]) == 500
    assert len(assembled([row(number) for number in range(20)], n_held_out=7).probes["test"]) == 7


def test_the_first_rows_as_in_the_paper():
    data = assembled([row(number) for number in range(30)], [row(99)], n_train=4, selection="first")
    assert [pair.pair_id for pair in data.pairs] == ["row-0", "row-1", "row-2", "row-3"]
    assert len(data.corpus) == 4 + 2 * 26
