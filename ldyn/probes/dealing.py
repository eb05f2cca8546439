"""Answers to other questions for a whole probe set at once: none twice, as long as there are enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from ldyn.data.encoder import normal_prompt, normal_response
from ldyn.records import ProbeExample

QuestionAndAnswer = tuple[str, str]


def deal_answers(
    examples: Sequence[ProbeExample], answers: Iterable[QuestionAndAnswer], random: Random
) -> tuple[dict[str, str], int]:
    """Example id -> the answer to another question, drawn without replacement; and how often the draw began anew.

    An answer fits an example if it belongs to another question and is another text than the example's ``chosen``. Where
    no answer fits that has not been given yet, all are there to be drawn from again, and where none fits even then, the
    example is left out.
    """
    distinct = {normal_response(text): (prompt, text) for prompt, text in answers}
    every = list(distinct.values())
    deck: list[QuestionAndAnswer] = random.sample(every, len(every))
    dealt: dict[str, str] = {}
    begun_anew = 0
    for example in examples:
        place = _first_that_fits(example, deck)
        if place is None and len(deck) < len(every):
            deck = random.sample(every, len(every))
            begun_anew += 1
            place = _first_that_fits(example, deck)
        if place is not None:
            dealt[example.example_id] = deck.pop(place)[1]
    return dealt, begun_anew


def _first_that_fits(example: ProbeExample, deck: Sequence[QuestionAndAnswer]) -> int | None:
    prompt, chosen = normal_prompt(example.prompt), normal_response(example.responses["chosen"])
    return next(
        (i for i, (other, text) in enumerate(deck) if normal_prompt(other) != prompt and normal_response(text) != chosen),
        None,
    )
