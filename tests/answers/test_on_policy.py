"""Pairs of drawn answers: who is chosen, what is kept, what is counted."""

from __future__ import annotations

from random import Random

import pytest

from ldyn.answers.judges import judge_named
from ldyn.answers.on_policy import on_policy_pairs
from ldyn.answers.settings import ResponsesConfig
from ldyn.errors import DataError
from ldyn.records import AnswerCheck, PreferencePair

PAIRS = [PreferencePair("a", "Where?", "In Rome.", "Rome it is."), PreferencePair("b", "Who?", "Ann.", "It was Ann.")]
BOTH = ResponsesConfig(sampled=("chosen", "rejected"), candidates=3, judge="facts")
SPIN = ResponsesConfig(sampled=("rejected",))


def by_length(_example_id, answers, _prompt):
    return [len(text) for text in answers]


def test_the_best_is_chosen_and_the_worst_rejected():
    drawn, counts = on_policy_pairs(PAIRS, [["xx", "x", "xxx"], ["y", "yyy", "yy"]], BOTH, by_length, Random(0))
    assert [(pair.pair_id, pair.chosen, pair.rejected) for pair in drawn] == [("a", "xxx", "x"), ("b", "yyy", "y")]
    assert +counts == {}


def test_spin_keeps_chosen_and_asks_no_judge():
    drawn, _ = on_policy_pairs(PAIRS, [["own"], ["other"]], SPIN, None, Random(0))
    assert [(pair.chosen, pair.rejected) for pair in drawn] == [("In Rome.", "own"), ("Ann.", "other")]


def test_a_coin_decides_between_equally_good_answers_and_is_counted():
    answers = [["one", "two", "six"]] * 2
    outcomes = set()
    for seed in range(20):
        drawn, counts = on_policy_pairs(PAIRS, answers, BOTH, by_length, Random(seed))
        assert counts["judged_equal"] == 2
        outcomes |= {(pair.chosen, pair.rejected) for pair in drawn}
    assert len(outcomes) == 6  # every ordered pair of three


def test_equal_texts_stay_and_empty_ones_give_way_to_the_data():
    drawn, counts = on_policy_pairs(PAIRS, [["In Rome. "], [" "]], SPIN, None, Random(0))
    assert len(drawn) == 2
    assert drawn[1].rejected == "It was Ann."
    assert counts["equal_answers"] == 1
    assert counts["empty_answers"] == 1


def test_facts_judge_what_is_true_and_does_not_repeat():
    judge = judge_named("facts", lambda _id, text: AnswerCheck(True, "Rome" in text, None))
    loop = "in Rome in Rome in Rome in Rome"
    right, wrong, looping = judge("a", ["in Rome", "in Oslo", loop], "Where?")
    assert (right, wrong) == (1.0, 0.0)
    assert 0 < looping < 1


def test_a_judge_of_the_users_own_is_imported_from_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "my_judge.py").write_text(
        "def shortest(example_id, answers, prompt): return [-len(a) for a in answers]"
    )
    monkeypatch.chdir(tmp_path)
    assert list(judge_named("my_judge:shortest", None)("a", ["xxx", "x"], "?")) == [-3, -1]


@pytest.mark.parametrize(
    ("name", "words"), [("facts", "not known"), ("no.such:thing", "MODULE:FUNCTION"), ("", "judge")]
)
def test_a_judge_that_cannot_be_had(name, words):
    with pytest.raises(DataError, match=words):
        judge_named(name, None)


@pytest.mark.parametrize(
    "settings", [{"sampled": ("chosen",)}, {"candidates": 3}, {"sampled": ("chosen", "rejected"), "judge": "facts"}]
)
def test_settings_that_leave_open_what_to_choose(settings):
    with pytest.raises(ValueError, match=r"judge|candidates"):
        ResponsesConfig(**settings)
