"""The corpus of a from-scratch base: nothing that is later taught or observed."""

from __future__ import annotations

from collections import Counter

from ldyn.data.rows import corpus_documents
from ldyn.records import ProbeExample


def row(prompt, chosen, rejected="a worse answer"):
    return ProbeExample("id", prompt, {"chosen": chosen, "rejected": rejected})


PAIR = row("\n\nHuman: one?\n\nAssistant:", " yes one", " no one")
UNSEEN = ProbeExample("t", "\n\nHuman: two?\n\nAssistant:", {"chosen": " yes two", "irr_hum": "A cat."})


def documents(others, counts=None):
    return corpus_documents([PAIR], [UNSEEN], others, " ", Counter() if counts is None else counts)


def test_other_rows_give_their_question_with_each_answer():
    others = [row("Human: three?\nAssistant: ", "yes three ", " no three")]
    assert documents(others)[1:] == ["Human: three?\nAssistant: yes three", "Human: three?\nAssistant: no three"]


def test_observed_questions_and_answers_are_left_out_and_counted():
    counts: Counter[str] = Counter()
    others = [
        row(UNSEEN.prompt + "\n", "another answer to the unseen question"),
        row("Human: four?\nAssistant:", "yes one", "yes four"),
        row("\n\nHuman: one?\n\nAssistant: yes one\n\nHuman: sure?\n\nAssistant:", "yes, sure", "sure"),
        row("\n\nHuman: two?\n\nAssistant: yes two, and more\n\nHuman: sure?\n\nAssistant:", "yes, sure", "sure"),
    ]
    sure = [f"{others[3].prompt} {answer}" for answer in ("yes, sure", "sure")]
    assert documents(others, counts)[1:] == ["Human: four?\nAssistant: yes four", *sure]
    assert counts == {"corpus.dropped_observed_question": 1, "corpus.dropped_observed_answer": 3}


def test_a_pair_whose_question_goes_on_with_another_pairs_dialogue_is_left_out():
    later = row(PAIR.prompt + PAIR.responses["chosen"] + "\n\nHuman: sure?\n\nAssistant:", " sure", " no")
    assert corpus_documents([PAIR, later], [], [], " ", Counter()) == ["\n\nHuman: one?"]
