"""Probe responses that can be made from the training pairs alone, for data that comes without them.

Each constructor turns one example into a response, or into None where the data does not allow one. Everything random is
drawn from the context's generator, which is seeded for each response by itself: a response does not change when other
examples or families come or go. An example always has ``chosen``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from ldyn.data.text import normal_prompt, normal_response
from ldyn.records import PreferencePair, ProbeExample

Item = TypeVar("Item")


@dataclass(frozen=True)
class FamilyContext:
    """What a constructor may use.

    pairs: the training pairs. unseen: examples of questions that are never trained on.
    trained: every chosen and rejected text of the pairs, normalised. random: a generator for this response.
    """

    pairs: Sequence[PreferencePair]
    unseen: Sequence[ProbeExample]
    trained: frozenset[str]
    random: Random


FamilyConstructor = Callable[[ProbeExample, FamilyContext], str | None]


def another_training_answer(example: ProbeExample, context: FamilyContext) -> str | None:
    """The chosen answer to another training question, whose text is not the example's own answer."""
    candidates = ((pair.prompt, pair.chosen) for pair in _from_random_start(context.pairs, context.random))
    return _answer_to_another_question(example, candidates)


def unseen_answer(example: ProbeExample, context: FamilyContext) -> str | None:
    """The chosen answer to an unseen question that is not the example's own, and whose text is not trained on."""
    candidates = (
        (other.prompt, other.responses["chosen"])
        for other in _from_random_start(context.unseen, context.random)
        if normal_response(other.responses["chosen"]) not in context.trained
    )
    return _answer_to_another_question(example, candidates)


def shuffled_chosen(example: ProbeExample, context: FamilyContext) -> str | None:
    """The words of the chosen answer in another order; None if there is no other order."""
    return _shuffled(example.responses["chosen"], context.random)


def shuffled_unrelated(example: ProbeExample, context: FamilyContext) -> str | None:
    """The words of the answer to another question in another order: an unseen question's if there is one."""
    answer = unseen_answer(example, context) or another_training_answer(example, context)
    return None if answer is None else _shuffled(answer, context.random)


FAMILIES: dict[str, FamilyConstructor] = {
    "irr_train": another_training_answer,
    "irr_test": unseen_answer,
    "random_permute": shuffled_chosen,
    "random_nonhum": shuffled_unrelated,
}


def _answer_to_another_question(example: ProbeExample, candidates: Iterable[tuple[str, str]]) -> str | None:
    prompt, chosen = normal_prompt(example.prompt), normal_response(example.responses["chosen"])
    for other_prompt, answer in candidates:
        if normal_prompt(other_prompt) != prompt and normal_response(answer) != chosen:
            return answer
    return None


def _from_random_start(items: Sequence[Item], random: Random) -> Iterable[Item]:
    """Each item once, in order, beginning anywhere: a draw that can be repeated until one fits, and ends."""
    start = random.randrange(len(items)) if items else 0
    return (items[(start + step) % len(items)] for step in range(len(items)))


def _shuffled(text: str, random: Random) -> str | None:
    words = text.split()
    if len(set(words)) < 2:
        return None
    shuffled = words
    while shuffled == words:
        shuffled = random.sample(words, len(words))
    return " ".join(shuffled)
