"""Probe responses made by construction."""

from __future__ import annotations

from random import Random

import pytest

from ldyn.probes.families import FAMILIES, FamilyContext
from ldyn.records import PreferencePair, ProbeExample

PAIRS = [PreferencePair(str(number), f"q{number}", f"the answer is {number}", f"no {number}") for number in range(6)]
UNSEEN = [ProbeExample(f"t{number}", f"u{number}", {"chosen": f"unseen thing {number}"}) for number in range(4)]
EXAMPLE = ProbeExample("2", "q2 \n", {"chosen": " the answer is 2"})


def made(family, example=EXAMPLE, pairs=PAIRS, unseen=UNSEEN, seed=0):
    trained = frozenset(text for pair in pairs for text in (pair.chosen, pair.rejected))
    return FAMILIES[family](example, FamilyContext(pairs, unseen, trained, Random(seed)))


def over_seeds(family, **changes):
    return {made(family, seed=seed, **changes) for seed in range(200)}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_generator_decides(family):
    assert made(family, seed=3) == made(family, seed=3)
    assert len(over_seeds(family)) > 1


def test_irr_train_is_any_other_training_answer():
    assert over_seeds("irr_train") == {pair.chosen for pair in PAIRS if pair.pair_id != "2"}


def test_irr_train_is_never_an_answer_to_the_same_question_nor_the_same_text():
    pairs = [
        *PAIRS[2:4],
        PreferencePair("again", "q2", "another answer", "no"),
        PreferencePair("x", "qx", "the answer is 2", "no"),
    ]
    assert over_seeds("irr_train", pairs=pairs) == {"the answer is 3"}
    assert made("irr_train", pairs=[PAIRS[2], *pairs[2:]]) is None


def test_irr_test_is_an_untrained_answer_to_an_unseen_question():
    trained_text = ProbeExample("t9", "u9", {"chosen": "no 5"})
    assert over_seeds("irr_test", unseen=[*UNSEEN, trained_text]) == {example.responses["chosen"] for example in UNSEEN}
    assert made("irr_test", unseen=[trained_text]) is None
    assert made("irr_test", unseen=[]) is None


def test_random_permute_is_another_order_of_the_same_words():
    for text in over_seeds("random_permute"):
        assert sorted(text.split()) == sorted(EXAMPLE.responses["chosen"].split())
        assert text.split() != EXAMPLE.responses["chosen"].split()


@pytest.mark.parametrize("chosen", ["yes", "no no no"])
def test_random_permute_needs_another_order(chosen):
    assert made("random_permute", example=ProbeExample("x", "q", {"chosen": chosen})) is None
    assert made("random_permute", example=ProbeExample("x", "q", {"chosen": "no yes"})) == "yes no"


def test_random_nonhum_shuffles_an_unrelated_answer():
    expected = [sorted(example.responses["chosen"].split()) for example in UNSEEN]
    assert all(sorted(text.split()) in expected for text in over_seeds("random_nonhum"))
    without_unseen = over_seeds("random_nonhum", unseen=[])
    assert all(sorted(text.split())[-2:] == ["is", "the"] and "2" not in text for text in without_unseen)
