"""Answers to other questions for a whole probe set at once: none twice, as long as there are enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from ldyn.data.text import normal_prompt, normal_response
from ldyn.records import ProbeExample

QuestionAndAnswer = tuple[str, str]


def deal_answers(
    examples: Sequence[ProbeExample], answers: Iterable[QuestionAndAnswer], random: Random
) -> tuple[dict[str, str], int]:
    """Example id -> the answer to another question, drawn without replacement; and how often the draw began anew.

    An answer fits an example if it belongs to another question and is another text than the example's ``chosen``. Where
    no answer fits that has not been given yet, one is exchanged with an earlier example; where that is impossible, too,
    all answers are there to be drawn again, and where none fits even then, the example is left out.
    """
    distinct = {normal_response(text): (prompt, text) for prompt, text in answers}
    every = list(distinct.values())
    deck = random.sample(every, len(every))
    dealt: list[tuple[ProbeExample, QuestionAndAnswer]] = []
    begun_anew = 0
    for example in examples:
        given = _taken(example, deck) or _exchanged(example, dealt, deck)
        if given is None and len(deck) < len(every):
            deck = random.sample(every, len(every))
            begun_anew += 1
            given = _taken(example, deck)
        if given is not None:
            dealt.append((example, given))
    return {example.example_id: text for example, (_, text) in dealt}, begun_anew


def _taken(example: ProbeExample, deck: list[QuestionAndAnswer]) -> QuestionAndAnswer | None:
    """The first answer of the deck that fits, taken out of it."""
    place = next((place for place, answer in enumerate(deck) if _fits(example, answer)), None)
    return None if place is None else deck.pop(place)


def _exchanged(
    example: ProbeExample, dealt: list[tuple[ProbeExample, QuestionAndAnswer]], deck: list[QuestionAndAnswer]
) -> QuestionAndAnswer | None:
    """An answer that an earlier example can spare, because what is left of the deck fits that one."""
    for place, (other, answer) in enumerate(dealt):
        instead = _taken(other, deck) if _fits(example, answer) else None
        if instead is not None:
            dealt[place] = (other, instead)
            return answer
    return None


def _fits(example: ProbeExample, answer: QuestionAndAnswer) -> bool:
    prompt, text = answer
    is_other = normal_prompt(prompt) != normal_prompt(example.prompt)
    return is_other and normal_response(text) != normal_response(example.responses["chosen"])
