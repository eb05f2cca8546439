"""Records in each of TRL's formats, and why some cannot be taken apart."""

from __future__ import annotations

import pytest

from ldyn.data.layouts import MAX_CHARACTERS, UnusableRecord, read_record
from ldyn.data.row_reading import REASONS
from ldyn.records import Turn


def said(*turns):
    """("user", "q"), ("assistant", "a") … as messages."""
    return [{"role": role, "content": content} for role, content in turns]


USER, ANSWER, OTHER = ("user", "q"), ("assistant", "yes"), ("assistant", "no")


def reason_of(record, layout="auto"):
    with pytest.raises(UnusableRecord) as caught:
        read_record("", record, layout)
    assert caught.value.reason in REASONS
    return caught.value.reason


# --------------------------------------------------------------------------------------------------------------
# Texts


def test_an_explicit_prompt_is_taken_as_it_is():
    texts = {"prompt": " q \n", "chosen": " yes", "rejected": "no", "irr_hum": "A cat.", "irr_test": None}
    parts = read_record("", texts)
    assert (parts.prompt, parts.turns) == (" q \n", ())
    assert parts.responses == {"chosen": " yes", "rejected": "no", "irr_hum": "A cat."}


def test_dialogues_are_split_behind_the_last_cue_that_both_share():
    human = "\n\nHuman: a\n\nAssistant:"
    for layout in ("auto", "dialogue"):
        parts = read_record("", {"chosen": f"{human} b\n\nAssistant: c", "rejected": f"{human} b\n\nAssist"}, layout)
        assert parts.prompt == human
        assert parts.responses == {"chosen": " b\n\nAssistant: c", "rejected": " b\n\nAssist"}


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("The sky is blue.", "The sky is black.", "The sky is"),  # not "The sky is bl"
        ("Why?\nI do not know", "Why?\nBecause", "Why?"),
        ("Why? yes", "Why? no", "Why?"),
    ],
)
def test_other_implicit_prompts_end_behind_the_last_word_that_both_share(chosen, rejected, prompt):
    parts = read_record("", {"chosen": chosen, "rejected": rejected})
    assert parts.prompt == prompt
    assert [prompt + text for text in parts.responses.values()] == [chosen, rejected]


# --------------------------------------------------------------------------------------------------------------
# Conversations


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": said(USER), "chosen": said(ANSWER), "rejected": said(OTHER)},
        {"prompt": said(USER), "chosen": "yes", "rejected": "no"},
        {"chosen": said(USER, ANSWER), "rejected": said(USER, OTHER)},
        {"prompt": "q", "chosen": said(ANSWER), "rejected": said(OTHER)},
        {"prompt": "q, cut …", "chosen": said(USER, ANSWER), "rejected": said(USER, OTHER)},  # as UltraFeedback
        {"prompt": said(USER), "chosen": said(USER, ANSWER), "rejected": said(OTHER)},
    ],
)
def test_conversations_of_every_form(record):
    parts = read_record("", record)
    assert parts.turns == (Turn("user", "q"),)
    assert parts.prompt == "Human: q\nAssistant:"
    assert parts.responses == {"chosen": "yes", "rejected": "no"}


def test_several_turns():
    turns = [("system", "s"), ("user", "u"), ("assistant", "a"), ("user", "v")]
    parts = read_record("", {"chosen": said(*turns, ANSWER), "rejected": said(*turns, OTHER)}, "messages")
    assert parts.prompt == "System: s\nHuman: u\nAssistant: a\nHuman: v\nAssistant:"
    assert parts.turns == tuple(turns)


# --------------------------------------------------------------------------------------------------------------
# Faults


LONG = [("user", "u"), ("assistant", "a"), USER]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": 3, "chosen": "a", "rejected": "b"}, "not_text"),
        ({"chosen": "", "rejected": "b"}, "no_common_prompt"),
        ({"chosen": "alone"}, "no_common_prompt"),
        ({"chosen": ["a"], "rejected": ["b"]}, "not_messages"),
        ({"chosen": [{"from": "human", "text": "q"}], "rejected": said(OTHER)}, "not_messages"),
        ({"chosen": [{"role": "user", "content": None}], "rejected": said(OTHER)}, "not_messages"),
        ({"chosen": said(USER), "rejected": said(USER, OTHER)}, "no_answer"),
        ({"prompt": said(USER), "chosen": [], "rejected": said(OTHER)}, "no_answer"),
        ({"chosen": said(("bot", "q"), ANSWER), "rejected": said(("bot", "q"), OTHER)}, "unknown_role"),
        ({"chosen": said(ANSWER), "rejected": said(OTHER)}, "no_common_prompt"),
        ({"chosen": said(USER, ANSWER), "rejected": said(("user", "p"), OTHER)}, "no_common_prompt"),
        ({"prompt": said(("assistant", "a")), "chosen": said(ANSWER), "rejected": said(OTHER)}, "roles_out_of_order"),
        ({"prompt": said(USER, USER), "chosen": "a", "rejected": "b"}, "roles_out_of_order"),
        ({"prompt": said(USER, ("system", "s"), USER), "chosen": "a", "rejected": "b"}, "roles_out_of_order"),
        ({"prompt": said(("system", "s")), "chosen": "a", "rejected": "b"}, "roles_out_of_order"),
        (
            {"chosen": said(*LONG, ANSWER), "rejected": said(USER, OTHER)},
            "parted_before_the_last_turn",
        ),  # two turns less
        ({"prompt": "q", "chosen": "a" * (MAX_CHARACTERS + 1), "rejected": "b"}, "enormous"),
        ({"prompt": "q \ud83d", "chosen": "a", "rejected": "b"}, "half_a_character"),
    ],
)
def test_what_cannot_be_taken_apart(record, reason):
    assert reason_of(record) == reason


def test_a_layout_that_is_said_allows_no_other():
    texts = {"prompt": "q", "chosen": "a", "rejected": "b"}
    assert reason_of(texts, "messages") == "not_messages"
    assert reason_of(texts, "dialogue") == "no_common_prompt"
    assert reason_of({"chosen": said(USER, ANSWER), "rejected": said(USER, OTHER)}, "dialogue") == "not_text"
    human = "\n\nHuman: a\n\nAssistant:"
    parted = {"chosen": f"{human} b\n\nHuman: c\n\nAssistant: d", "rejected": f"{human} x"}
    assert reason_of(parted, "dialogue") == "parted_before_the_last_turn"
