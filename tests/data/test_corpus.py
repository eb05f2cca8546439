"""The corpus of a from-scratch base: nothing that is later taught or observed."""

from __future__ import annotations

from collections import Counter

from ldyn.data.corpus import corpus_documents
from ldyn.records import PreferencePair, ProbeExample

PAIR = PreferencePair("p", "\n\nHuman: one?\n\nAssistant:", " yes one", " no one")
UNSEEN = ProbeExample("t", "\n\nHuman: two?\n\nAssistant:", {"chosen": " yes two", "irr_hum": "A cat."})


def documents(others, counts=None):
    return corpus_documents([PAIR], [UNSEEN], others, " ", Counter() if counts is None else counts)


def test_other_rows_give_their_question_with_each_answer():
    others = [("Human: three?\nAssistant: ", ("yes three ", "", " no three"))]
    assert documents(others)[1:] == ["Human: three?\nAssistant: yes three", "Human: three?\nAssistant: no three"]


def test_observed_questions_and_answers_are_left_out_and_counted():
    counts: Counter[str] = Counter()
    others = [
        (UNSEEN.prompt + "\n", ("another answer to the unseen question",)),
        ("Human: four?\nAssistant:", ("yes one", "yes four")),
        ("\n\nHuman: one?\n\nAssistant: yes one\n\nHuman: sure?\n\nAssistant:", ("yes, sure",)),
        ("\n\nHuman: two?\n\nAssistant: yes two, and more\n\nHuman: sure?\n\nAssistant:", ("yes, sure",)),
    ]
    assert documents(others, counts)[1:] == ["Human: four?\nAssistant: yes four", others[3][0] + " yes, sure"]
    assert counts == {"corpus.dropped_observed_question": 1, "corpus.dropped_observed_answer": 2}


def test_a_pair_whose_question_goes_on_with_another_pairs_dialogue_is_left_out():
    later = PreferencePair("q", PAIR.prompt + PAIR.chosen + "\n\nHuman: sure?\n\nAssistant:", " sure", " no")
    assert corpus_documents([PAIR, later], [], [], " ", Counter()) == ["\n\nHuman: one?"]
