"""The facts of one microworld, how they are put into words, and a checker that finds them in an answer.

An answer is ``[opening] phrasing [ending]``. In the corpus a share of the answers is plain (the commonest phrasing, no
more) and the rest is styled with Zipf weights, so that a language model of it has a dominant continuation at every
branch: the *peaky* distribution that the squeezing effect needs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from ldyn.data import microworld_text as text
from ldyn.errors import DataError
from ldyn.records import AnswerCheck

Element = TypeVar("Element")

Question = tuple[str, str]
"""(person, attribute): what a question asks for."""


@dataclass(frozen=True, slots=True)
class Style:
    """Which wordings an answer uses: indices into OPENINGS, the attribute's phrasings and ENDINGS (None: absent)."""

    opening: int | None
    phrasing: int
    ending: int | None


PLAIN = Style(opening=None, phrasing=0, ending=None)


@dataclass(frozen=True)
class World:
    """The people of this world and the facts about them. ``facts[person][attribute]`` is the value."""

    people: tuple[str, ...]
    facts: Mapping[str, Mapping[str, str]]

    def questions(self, people: Sequence[str]) -> list[Question]:
        return [(person, attribute) for person in people for attribute in text.ATTRIBUTES]

    def value(self, question: Question) -> str:
        person, attribute = question
        return self.facts[person][attribute]


def make_world(n_people: int, random: Random) -> World:
    """People in families of equal size (as many families as there are last names), with a random value of everything.

    Families stand together in the order of ``people``, so that the first people and the last share no last name.
    """
    families = random.sample(text.LAST_NAMES, len(text.LAST_NAMES))[:n_people]
    sizes = Counter(families[index * len(families) // n_people] for index in range(n_people))
    people = tuple(f"{first} {last}" for last in families for first in random.sample(text.FIRST_NAMES, sizes[last]))
    facts = {p: {name: random.choice(attr.values) for name, attr in text.ATTRIBUTES.items()} for p in people}
    return World(people, facts)


def ask(question: Question, random: Random) -> str:
    person, attribute = question
    return dialogue(random.choice(text.ATTRIBUTES[attribute].questions).format(p=person))


def dialogue(request: str) -> str:
    return f"Human: {request}\n\nAssistant:"


def answer(question: Question, value: str, style: Style) -> str:
    """The answer as text, with the given value (which need not be the true one)."""
    person, attribute = question
    statement = text.ATTRIBUTES[attribute].phrasings[style.phrasing].format(p=person, v=value)
    opening = None if style.opening is None else text.OPENINGS[style.opening].text
    if opening is None or opening.endswith((".", "?", "!")):
        statement = capitalised(statement)
    ending = None if style.ending is None else text.ENDINGS[style.ending].text
    return " ".join(part for part in (opening, statement, ending) if part is not None)


def capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def zipf_choice(n: int, exponent: float, random: Random) -> int:
    """An index below n with probability proportional to 1 / (index + 1) ** exponent."""
    return random.choices(range(n), [(rank + 1) ** -exponent for rank in range(n)])[0]


def common_style(attribute: str, plain_share: float, exponent: float, random: Random) -> Style:
    """A style as the corpus uses it: plain, or each part drawn with Zipf weights."""
    if random.random() < plain_share:
        return PLAIN
    n_phrasings = len(text.ATTRIBUTES[attribute].phrasings)
    return Style(
        opening=zipf_choice(len(text.OPENINGS), exponent, random),
        phrasing=zipf_choice(n_phrasings, exponent, random),
        ending=zipf_choice(len(text.ENDINGS), exponent, random),
    )


def rare_style(attribute: str, random: Random) -> Style:
    """A style from the rare tail of the same family: each part uniform among the uncommon wordings."""
    return Style(
        opening=random.randrange(text.N_COMMON_WORDINGS, len(text.OPENINGS)),
        phrasing=random.randrange(text.N_COMMON_PHRASINGS, len(text.ATTRIBUTES[attribute].phrasings)),
        ending=random.randrange(text.N_COMMON_WORDINGS, len(text.ENDINGS)),
    )


def rephrased_style(attribute: str, style: Style, random: Random) -> Style:
    """Other words for the same meaning: the twins of opening and ending and another rare phrasing."""
    phrasings = range(text.N_COMMON_PHRASINGS, len(text.ATTRIBUTES[attribute].phrasings))
    return Style(
        opening=None if style.opening is None else text.OPENINGS[style.opening].twin,
        phrasing=random.choice([phrasing for phrasing in phrasings if phrasing != style.phrasing]),
        ending=None if style.ending is None else text.ENDINGS[style.ending].twin,
    )


def prose(random: Random) -> str:
    """A fluent sentence that has nothing to do with any question of the world."""
    first, second = (_clause(random) for _ in range(2))
    return capitalised(f"{first} {random.choice(text.PROSE_JOINTS)} {second}.")


def _clause(random: Random) -> str:
    parts = (text.PROSE_SUBJECTS, text.PROSE_VERBS, text.PROSE_PLACES)
    return " ".join(random.choice(part) for part in parts)


def another(options: Sequence[Element], excluded: set[Element], random: Random) -> Element:
    """A random option that is not excluded."""
    return random.choice([option for option in options if option not in excluded])


# --------------------------------------------------------------------------------------------------------------
# Checking an answer


Statement = tuple[Question, str]
"""((person, attribute), value)."""


def _statement_patterns() -> dict[str, list[re.Pattern[str]]]:
    """For each attribute one pattern a phrasing, with the groups ``p`` (any known full name) and ``v`` (any value)."""
    person = rf"(?P<p>(?:{'|'.join(text.FIRST_NAMES)}) (?:{'|'.join(text.LAST_NAMES)}))"
    patterns: dict[str, list[re.Pattern[str]]] = {}
    for name, attribute in text.ATTRIBUTES.items():
        value = rf"(?P<v>{'|'.join(attribute.values)})"
        patterns[name] = [
            re.compile(r"\b" + _escaped(phrasing).replace("{p}", person).replace("{v}", value), re.IGNORECASE)
            for phrasing in attribute.phrasings
        ]
    return patterns


def _escaped(phrasing: str) -> str:
    """The phrasing as a pattern: without its full stop (a model may continue), white space of any length."""
    words = phrasing.rstrip(".").split()
    return r"\s+".join(word if word.startswith("{") else re.escape(word) for word in words) + r"\b"


class FactChecker:
    """An ``AnswerChecker`` for one world.

    An answer is right when it states the fact that was asked for and no other value of it. It borrows from another
    training question when it states that question's (person, attribute, value), whoever was asked about.
    """

    def __init__(self, world: World, asked: Mapping[str, Question], training: Mapping[str, Question]):
        """``asked``: example id -> its question, for every prompt; ``training``: the same for training pairs only."""
        self._world = world
        self._asked = dict(asked)
        self._training_ids = {question: pair_id for pair_id, question in training.items()}
        self._patterns = _statement_patterns()

    def __call__(self, example_id: str, answer: str) -> AnswerCheck:
        if example_id not in self._asked:
            raise DataError(f"No question has the id {example_id!r}; ids look like {next(iter(self._asked))!r}.")
        question = self._asked[example_id]
        stated = self.statements(answer)
        right = {value == self._world.value(question) for asked, value in stated if asked == question}
        borrowed = (self._owner(asked, value) for asked, value in stated if asked != question)
        return AnswerCheck(
            states_a_fact=bool(stated),
            is_right=right == {True},
            borrowed_from=next((owner for owner in borrowed if owner is not None), None),
        )

    def statements(self, answer: str) -> list[Statement]:
        """Every fact that the answer states, true or not, in the order of the text."""
        found = [
            (match.start(), (_canonical_person(match["p"]), name), _canonical_value(name, match["v"]))
            for name, patterns in self._patterns.items()
            for pattern in patterns
            for match in pattern.finditer(answer)
        ]
        return [(question, value) for _, question, value in sorted(found)]

    def _owner(self, question: Question, value: str) -> str | None:
        """The training pair to whose question this is the true answer."""
        pair_id = self._training_ids.get(question)
        return pair_id if pair_id is not None and self._world.value(question) == value else None


def _canonical_person(found: str) -> str:
    return " ".join(word.capitalize() for word in found.split())


def _canonical_value(attribute: str, found: str) -> str:
    return next(value for value in text.ATTRIBUTES[attribute].values if value.lower() == found.lower())
