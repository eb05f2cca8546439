"""Pairs of drawn answers: who is chosen, what is kept, what is counted."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from ldyn.answers.comparison import GivenAnswer
from ldyn.answers.settings import ResponsesConfig
from ldyn.data.encoder import Encoder, EncodingConfig
from ldyn.records import PreferencePair, ProbeExample
from ldyn.run.answering import on_policy_pairs

PAIRS = [PreferencePair("a", "Where?", "In Rome.", "Rome it is."), PreferencePair("b", "Who?", "Ann.", "It was Ann.")]
BOTH = ResponsesConfig(sampled=("chosen", "rejected"), candidates=3, judge="facts")
SPIN = ResponsesConfig(sampled=("rejected",))


def pairs_of(answers, config, judge, random):
    """Pairs of answers that are given as texts."""
    return on_policy_pairs(PAIRS, [[GivenAnswer(text) for text in own] for own in answers], config, judge, random)


def by_length(_example_id, answers, _prompt):
    return [len(answer.text) for answer in answers]


def test_the_best_is_chosen_and_the_worst_rejected():
    drawn, counts = pairs_of([["xx", "x", "xxx"], ["y", "yyy", "yy"]], BOTH, by_length, Random(0))
    assert [(pair.pair_id, pair.chosen, pair.rejected) for pair in drawn] == [("a", "xxx", "x"), ("b", "yyy", "y")]
    assert +counts == {}


def test_spin_keeps_chosen_and_asks_no_judge():
    drawn, _ = pairs_of([["own"], ["other"]], SPIN, None, Random(0))
    assert [(pair.chosen, pair.rejected) for pair in drawn] == [("In Rome.", "own"), ("Ann.", "other")]


def test_a_coin_decides_between_equally_good_answers_and_is_counted():
    answers = [["one", "two", "six"]] * 2
    outcomes = set()
    for seed in range(20):
        drawn, counts = pairs_of(answers, BOTH, by_length, Random(seed))
        assert counts["judged_equal"] == 2
        outcomes |= {(pair.chosen, pair.rejected) for pair in drawn}
    assert len(outcomes) == 6  # every ordered pair of three


def test_the_sampled_tokens_are_kept_and_cut_answers_are_counted_or_dropped():
    ended, cut = GivenAnswer("own", True, token_ids=(7, 0)), GivenAnswer("own and", False, token_ids=(7, 8))
    (pair,), counts = on_policy_pairs(PAIRS[:1], [[cut]], SPIN, None, Random(0))
    assert (pair.rejected, pair.sampled, counts["cut_answers"]) == ("own and", {"rejected": (7, 8)}, 1)
    drop = replace(BOTH, candidates=2, cut_answers="drop")
    both, counts = on_policy_pairs(PAIRS, [[cut, ended], [cut, cut]], drop, by_length, Random(0))
    assert counts["cut_answers"] == 3
    assert [(pair.chosen, pair.rejected) for pair in both] == [("own", "own"), (PAIRS[1].chosen, PAIRS[1].rejected)]
    assert both[1].sampled == {}


def test_the_sampled_tokens_are_trained_and_scored(tokenizer):
    """Encoded again, "w9 w10" would end with an EOS that was never sampled."""
    encoder = Encoder(tokenizer, EncodingConfig(max_prompt_tokens=8, max_tokens=14))
    pair = PreferencePair("a", "w3 w4", "w5", "w9 w10", sampled={"rejected": (9, 10)})
    (encoded,) = encoder.pairs([pair])
    assert (encoded.chosen_ids, encoded.rejected_ids) == ((5, 0), (9, 10))
    example = ProbeExample("a", "w3", {"chosen": "w5", "chosen_initial": "w9"}, sampled={"chosen_initial": (9,)})
    (probe,) = encoder.probes("train", [example])
    assert probe.responses == {"chosen": (5, 0), "chosen_initial": (9,)}


def test_equal_texts_stay_and_empty_ones_give_way_to_the_data():
    drawn, counts = pairs_of([["In Rome. "], [" "]], SPIN, None, Random(0))
    assert len(drawn) == 2
    assert drawn[1].rejected == "It was Ann."
    assert counts["equal_answers"] == 1
    assert counts["empty_answers"] == 1


@pytest.mark.parametrize(
    "settings", [{"sampled": ("chosen",)}, {"candidates": 3}, {"sampled": ("chosen", "rejected"), "judge": "facts"}]
)
def test_settings_that_leave_open_what_to_choose(settings):
    with pytest.raises(ValueError, match=r"judge|candidates"):
        ResponsesConfig(**settings)
