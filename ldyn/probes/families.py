"""Probe responses that are made from the training pairs, and the completion of examples with them.

A constructor turns one example into a response, or into None where the data does not allow one. Each response has its
own generator, so it does not change when other examples or families are added or removed.

A released file may hold an ``irr_train`` that answers no training question (in the paper's test file it answers another
*test* question), or an ``irr_test`` that was trained on ("You're welcome."). Such a response is made anew and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from ldyn.data.seeding import seeded_random
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


class Completer:
    """Completes the examples of one split to the ``wanted`` probes; ``given`` are those that the split's rows have.

    ``counts`` gains "<split>.constructed.<probe>", "….not_constructible.…" and "….mislabelled.…".
    """

    def __init__(
        self,
        split: str,
        *,
        wanted: Sequence[str],
        given: Iterable[str],
        pairs: Sequence[PreferencePair],
        unseen: Sequence[ProbeExample],
        seed: int,
        counts: Counter[str],
    ):
        self._split, self._wanted, self._given = split, wanted, set(given)
        self._pairs, self._unseen = pairs, unseen
        self._seed, self._counts = seed, counts
        self._questions_of = _questions_of(pairs)
        self._trained = frozenset(normal_response(text) for pair in pairs for text in (pair.chosen, pair.rejected))

    def complete(self, example: ProbeExample) -> ProbeExample:
        """The example with exactly the wanted probes, as far as they can be had."""
        texts = {probe: self._text(example, probe) for probe in self._wanted}
        return replace(example, responses={probe: text for probe, text in texts.items() if text is not None})

    def _text(self, example: ProbeExample, probe: str) -> str | None:
        text = example.responses.get(probe)
        if text is None:
            # A gap in a family that the rows have (an empty text, a missing key) stays a gap; its source counted it.
            return None if probe in self._given else self._made(example, probe)
        if not self._is_mislabelled(example, probe, normal_response(text)):
            return text
        self._counts[f"{self._split}.mislabelled.{probe}"] += 1
        return self._made(example, probe)

    def _made(self, example: ProbeExample, probe: str) -> str | None:
        if probe not in FAMILIES:
            return None
        random = seeded_random(self._seed, self._split, example.example_id, probe)
        text = FAMILIES[probe](example, FamilyContext(self._pairs, self._unseen, self._trained, random))
        self._counts[f"{self._split}.{'not_constructible' if text is None else 'constructed'}.{probe}"] += 1
        return text

    def _is_mislabelled(self, example: ProbeExample, probe: str, text: str) -> bool:
        if probe == "irr_train":
            is_own = text == normal_response(example.responses["chosen"])
            return is_own or not self._questions_of.get(text, set()) - {normal_prompt(example.prompt)}
        return probe == "irr_test" and text in self._trained


def _questions_of(pairs: Iterable[PreferencePair]) -> dict[str, set[str]]:
    """Chosen answer -> the training questions it answers."""
    questions_of: dict[str, set[str]] = {}
    for pair in pairs:
        questions_of.setdefault(normal_response(pair.chosen), set()).add(normal_prompt(pair.prompt))
    return questions_of
