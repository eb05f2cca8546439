"""Parts of a build by themselves: dealing answers, what is asked, which texts are no use, what must be apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from ldyn.answers.chats import REFUSED, ChatAnswer, ChatRequest
from ldyn.errors import DataError
from ldyn.probe_sets.examples import check_disjoint
from ldyn.probe_sets.rephrase_texts import Templates, Writing, has_leftover_markup, text_of
from ldyn.probe_sets.rephrases import write_texts
from ldyn.records import PreferencePair, ProbeExample


def example(number: int, **responses: str) -> ProbeExample:
    return ProbeExample(f"q{number}", f"Question {number}?", {"chosen": f" Answer {number}.", **responses})


def test_train_and_unseen_are_apart() -> None:
    pairs = [PreferencePair(f"q{n}", f"Question {n}?", f" Answer {n}.", "No.") for n in (1, 2)]
    fine = {"train": [example(1, irr_train="Answer 2.", irr_test="Fresh.")], "test": [example(3)]}
    check_disjoint(fine, pairs)
    for wrong, said in (
        ({"train": [example(1, irr_test=" No.")]}, "irr_test of train example 'q1' is trained on"),
        ({"train": [example(1, irr_train="Strange.")]}, "is no chosen answer of a training pair"),
        ({"train": [example(1)], "test": [example(2)]}, "is that of training pair 'q2'"),
        ({"train": [example(3)]}, "is not a training pair"),
    ):
        with pytest.raises(DataError, match=said):
            check_disjoint(wrong, pairs)


SOURCE = "Seven herons stand in the quiet water near the mill, and nobody minds."


def writing(number: int, source: str = SOURCE, probe: str = "chosen_gptsemantic") -> Writing:
    request = ChatRequest((("user", f"{number} {source}"),), temperature=0.7)
    return Writing("train", f"q{number}", probe, source, len(source.split()) or 8, request)


class Scripted:
    """Answers by ``say`` (request -> answer), and remembers what was asked."""

    name = "scripted"

    def __init__(self, say: Callable[[ChatRequest], ChatAnswer]):
        self.say, self.asked = say, list[ChatRequest]()

    def answer(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer]:
        self.asked += requests
        return [self.say(request) for request in requests]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (ChatAnswer(""), "empty"),
        (ChatAnswer("<new>  </new>"), "empty"),
        (ChatAnswer("", REFUSED, reason="400: not with me"), "refused"),
        (ChatAnswer("<new>Near the mill seven herons stand in quiet wat", "length"), "cut"),
        (ChatAnswer("<new>Near the mill seven herons stand in quiet wat</new>"), "unfinished"),
        (ChatAnswer("seven Herons stand in the quiet water near the mill, and nobody minds"), "unchanged"),
        (ChatAnswer("Rephrased: near the mill, in quiet water, stand seven herons."), "markup"),
        (ChatAnswer("Sure, here is a rephrased version of it: seven herons stand there."), "markup"),
        (ChatAnswer("Herons stand."), "too_short"),
        (ChatAnswer("They stand there, " * 10 + "still."), "too_long"),
        (ChatAnswer("They stand in " * 6 + "water."), "loop"),
        (ChatAnswer("Another response of this row is what I am, word for word."), "as_another_response"),
    ],
)
def test_a_text_that_is_no_use_is_asked_for_again_then_dropped(answer: ChatAnswer, fault: str) -> None:
    model = Scripted(lambda request: answer)
    taken = {("train", "q1"): {"Another response of this row is what I am, word for word."}}
    written = write_texts([writing(1)], model, 3, taken)
    assert written.texts == {}
    assert list(written.dropped.values()) == [fault]
    assert [request.sample for request in model.asked] == [0, 1, 2]
    assert written.asked_again == {fault: 2}
    assert len(write_texts([writing(1)], Scripted(lambda _: answer), 1, taken).dropped) == 1


def test_a_text_for_different_sources_is_canned() -> None:
    """The first such text looked fine in its round: it goes when a second source gets it, too."""
    sorry = ChatAnswer("I am sorry, but I would rather not help anyone with a text of this kind.")
    fine = ChatAnswer("Near the mill, where the water is quiet, stand seven herons and nobody minds.")
    other = "Thirteen bakers wait behind the last tram of the night, and everyone is cold."
    answers = {"1 0": sorry, "2 0": ChatAnswer(""), "2 1": sorry, "1 2": fine, "2 2": ChatAnswer("")}
    model = Scripted(lambda request: answers[f"{request.messages[0][1][0]} {request.sample}"])
    written = write_texts([writing(1), writing(2, other)], model, 3, {})
    assert [one.example_id for one in written.texts] == ["q1"]
    assert [(one.example_id, fault) for one, fault in written.dropped.items()] == [("q2", "empty")]
    assert written.asked_again == {"empty": 1, "canned": 2}
    same_source = Scripted(lambda request: fine)
    assert len(write_texts([writing(1), writing(3)], same_source, 1, {}).texts) == 2


def test_a_text_is_taken_out_of_its_wrapping() -> None:
    for said, text in (
        ("Sure!\n<new>\n One. </new>", "One."),
        ("<think>maybe <new>x</new></think> <new>Two\nlines.</new> done", "Two\nlines."),
        ('"Three."', "Three."),
        ("“Four.”", "Four."),
        ('"Five" or "six"', '"Five" or "six"'),
        ("Seven.", "Seven."),
    ):
        assert text_of(ChatAnswer(said), writing(1)) == text
    assert text_of(ChatAnswer('"Eight."'), writing(1, source='"Quoted."')) == '"Eight."'


def test_every_sentence_is_a_draw_of_its_own_and_rephrases_are_asked_by_content() -> None:
    examples = [example(1), ProbeExample("q2", "Question 1?", {"chosen": "Answer 1."})]
    asked = Templates().writings("train", examples, ("chosen_gptformat", "reject_gptformat", "irr_hum"), 0.7)
    assert [one.probe for one in asked] == ["chosen_gptformat", "irr_hum"] * 2  # there is no rejected
    assert asked[0].request == asked[2].request
    assert asked[1].request != asked[3].request


@pytest.mark.parametrize(
    ("text", "has_markup"),
    [
        ("A plain sentence, with (some) “quotes” - and a dash -- or two...", False),
        ("1 < 2 and 3 > 2", False),
        ("@@@@ Original: x\n@@@ Rephrase: y", True),
        ("Yes.\n\nHuman: and then?", True),
        ("Certainly! Here is a random sentence with 61 words: x", True),
        ("First:\n- one\n2) two", True),
        ("Bye</s>", True),
        ("It **must** be", True),
        ("Dear [your name],", True),
        ("“All of it.”", True),
    ],
)
def test_markup(text: str, has_markup: bool) -> None:
    assert has_leftover_markup(text, "A plain source.") == has_markup
    assert not has_leftover_markup(text, text)  # what the source has is not left over
