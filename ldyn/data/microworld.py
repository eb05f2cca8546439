"""The microworld: a generated language in which every token of an answer is a choice with a known distribution.

Every word w has ``successors`` words that may follow it, ranked r = 1, 2, …, with probability ∝ r^-a (Zipf, a =
``zipf_exponent``). The corpus walks by these probabilities, so a base model is *peaky*: its greedy token has about .5,
and the greedy mass has room. Where on these ranks a response is drawn is its *depth*: y⁺ is a typical walk among
``chosen_ranks``; y⁻ takes each of ``rejected_ranks`` equally often, and the default has it in the tail, in a *valley*
that SFT on y⁺ does not teach.

A question asks for an attribute of a person and names the word at which the answer starts. The answer states the fact,
"NAME VALUE", and walks on from the value; it does so after r - 1 words with probability ∝ r^-a. What an answer states
can be checked exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from random import Random
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from ldyn.data.encoder import EncodingConfig
from ldyn.data.seeding import seeded_random
from ldyn.errors import ConfigError, DataError
from ldyn.records import AnswerCheck, PreferenceData, PreferencePair, ProbeExample

ATTRIBUTES = ("home", "trade", "animal", "dish", "colour")
VALUES = 12
"""Values of an attribute: the first words of the language, VALUES for each."""
TRUE_SHARE = 0.8
"""Share of the documents that state a fact truly; the others state another value of the attribute."""

Ranks = tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]]
Fact = tuple[str, str]
"""(person, attribute): what a question asks for."""


@dataclass(frozen=True)
class MicroworldConfig:
    """Size and shape of the world.

    people, test_people: inhabitants, and how many of them no training question is ever about.
    pairs, train_probes, test_probes: training pairs, those of them that are probes, and held-out probe questions.
    documents: answered questions of the pretraining corpus, spread evenly over all facts. prose_share: further
        documents, as a share of these: walks from a word that state no fact.
    words, successors, zipf_exponent, length: of the language, see above; an answer walks ``length`` words.
    chosen_ranks, rejected_ranks: the first and the last rank that y⁺ and y⁻ are drawn from.
    world_seed: of language, people, facts and corpus, so of the base model too; None: the run's seed. With it, runs
        under several seeds have the same world and base, and other pairs in another order.
    """

    source: Literal["microworld"] = "microworld"
    people: Annotated[int, Interval(ge=20, le=800)] = 200
    test_people: Annotated[int, Gt(0)] = 60
    pairs: Annotated[int, Ge(2)] = 160
    train_probes: Annotated[int, Gt(0)] = 80
    test_probes: Annotated[int, Ge(2)] = 24
    documents: Annotated[int, Gt(0)] = 40_000
    prose_share: Annotated[float, Interval(ge=0, lt=1)] = 0.05
    words: Annotated[int, Interval(ge=len(ATTRIBUTES) * VALUES, le=1000)] = 300
    successors: Annotated[int, Interval(ge=2, le=100)] = 40
    zipf_exponent: Annotated[float, Ge(0)] = 1.6
    length: Annotated[int, Ge(4)] = 20
    chosen_ranks: Ranks = (1, 40)
    rejected_ranks: Ranks = (6, 40)
    encoding: EncodingConfig = field(default_factory=lambda: EncodingConfig(32, 80, "end"))
    world_seed: Annotated[int, Ge(0)] | None = None

    def __post_init__(self) -> None:
        if self.successors >= self.words:
            raise ValueError(
                f"successors is {self.successors}, but can be at most {self.words - 1}, one less than words"
            )
        for name, (first, last) in (("chosen_ranks", self.chosen_ranks), ("rejected_ranks", self.rejected_ranks)):
            if not first <= last <= self.successors:
                raise ValueError(f"{name} is [{first}, {last}]; expected first <= last <= successors={self.successors}")


@dataclass(frozen=True, slots=True)
class Band:
    """Ranks to draw a word from: by their true probabilities, or each equally often."""

    ranks: Ranks
    even: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A walk from ``start`` that states a value of a person: ``before``, the name, the value, ``after``."""

    start: str
    band: Band
    before: tuple[str, ...]
    name: str
    value: str
    after: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join((*self.before, self.name, self.value, *self.after))


@dataclass(frozen=True, slots=True)
class Item:
    """A question with the two answers that make it a preference pair; ``start``: the word that the answers start at."""

    item_id: str
    fact: Fact
    start: str
    chosen: Answer
    rejected: Answer

    @property
    def prompt(self) -> str:
        return question(self.fact, self.start)


def question(fact: Fact, start: str) -> str:
    return f"Human: {fact[1]} of {fact[0]}, {start}?\n\nAssistant:"


class World:
    """One language, its people and the facts about them; the words and names are those of every world."""

    def __init__(self, config: MicroworldConfig, random: Random):
        syllables = [consonant + vowel for consonant, vowel in product("bcdfghjklmnprstvwz", "aeiou")]
        every = [first + second for first, second in product(syllables, syllables)]
        drawn = seeded_random(0, "words").sample(every, 1000 + 800)
        self.words, self.names = drawn[: config.words], [name.capitalize() for name in drawn[1000:]]
        self.people, self._config = random.sample(self.names[: config.people], config.people), config
        self.values = {name: self.words[i * VALUES : (i + 1) * VALUES] for i, name in enumerate(ATTRIBUTES)}
        self.facts = {(person, name): random.choice(self.values[name]) for person in self.people for name in ATTRIBUTES}
        self._successors = self._ranked(random)

    def _ranked(self, random: Random) -> Mapping[str, Sequence[str]]:
        """Word -> its successors, the likeliest first. The first ones form one circle: a greedy walk never repeats."""
        circle = random.sample(self.words, len(self.words))
        first = dict(zip(circle, [*circle[1:], circle[0]], strict=True))
        others = {word: [one for one in self.words if one not in (word, first[word])] for word in self.words}
        return {word: [first[word], *random.sample(others[word], self._config.successors - 1)] for word in self.words}

    def ranks(self, number: int, most: int, band: Band, random: Random) -> list[int]:
        """``number`` ranks of ``band``, counted from 0 and at most ``most``."""
        first, last = band.ranks
        ranks = range(min(first - 1, most), min(last - 1, most) + 1)
        weights = None if band.even else [(rank + 1) ** -self._config.zipf_exponent for rank in ranks]
        return random.choices(ranks, weights, k=number)

    def walk(self, word: str, length: int, band: Band, random: Random) -> tuple[str, ...]:
        """``length`` words behind ``word``."""
        walked = []
        for rank in self.ranks(length, self._config.successors - 1, band, random):
            word = self._successors[word][rank]
            walked.append(word)
        return tuple(walked)

    def answer(self, person: str, value: str, start: str, band: Band, random: Random) -> Answer:
        """An answer that states the fact first, or after some words of its walk: the place is a choice by rank too."""
        [n_before] = self.ranks(1, self._config.length - 1, band, random)
        before = self.walk(start, n_before, band, random)
        after = self.walk(value, self._config.length - n_before, band, random)
        return Answer(start, band, before, person, value, after)

    def rephrased(self, answer: Answer, random: Random) -> Answer:
        """The same beginning and the same fact, then other words of the same ranks."""
        n_kept, n_before = self._config.length // 2, len(answer.before)
        before, after = answer.before[:n_kept], answer.after[: max(0, n_kept - n_before)]
        before += self.walk((answer.start, *before)[-1], n_before - len(before), answer.band, random)
        last = after[-1] if after else answer.value
        after += self.walk(last, len(answer.after) - len(after), answer.band, random)
        return Answer(answer.start, answer.band, before, answer.name, answer.value, after)

    def with_false_fact(self, answer: Answer, attribute: str, random: Random) -> Answer:
        """The same beginning, a false fact, then words that follow from it, of the same ranks."""
        value = self.another_value((answer.name, attribute), random)
        after = self.walk(value, len(answer.after), answer.band, random)
        return Answer(answer.start, answer.band, answer.before, answer.name, value, after)

    def another_value(self, fact: Fact, random: Random) -> str:
        """A false value of the attribute."""
        return random.choice([value for value in self.values[fact[1]] if value != self.facts[fact]])


def load_microworld(config: MicroworldConfig, seed: int) -> PreferenceData:
    """Generate the world of this seed with its corpus, pairs, probes and checker; the same seed, the same world.

    With ``config.world_seed`` world and corpus are those of that seed; pairs and probes are those of ``seed``.
    Raises ConfigError when the sizes do not fit together, with all that do not.
    """
    _check_sizes(config)
    world_seed = seed if config.world_seed is None else config.world_seed
    world = World(config, seeded_random(world_seed, "world"))
    train, test = _draw_items(world, config, seeded_random(seed, "pairs"))
    random = seeded_random(seed, "probes")
    asked = {item.item_id: item.fact for item in (*train, *test)}
    return PreferenceData(
        name="microworld",
        pairs=[PreferencePair(one.item_id, one.prompt, one.chosen.text, one.rejected.text) for one in train],
        probes={
            "train": [_probe_example(item, train, test, world, random) for item in train[: config.train_probes]],
            "test": [_probe_example(item, train, test, world, random) for item in test],
        },
        corpus=make_corpus(world, config, seeded_random(world_seed, "corpus")),
        counts={"people": config.people, "facts": len(world.facts), "pairs": len(train)},
        checker=FactChecker(world, asked, {item.item_id: item.fact for item in train}),
    )


def make_corpus(world: World, config: MicroworldConfig, random: Random) -> list[str]:
    """Documents in random order: every fact about equally often, walks without facts, and one with every word."""
    typical, facts = Band((1, config.successors)), list(world.facts)
    documents = [f"Human: {' '.join((*ATTRIBUTES, 'of', *world.words, *world.names[: config.people]))},?\n\nAssistant:"]
    for index in range(config.documents):
        fact, start = facts[index % len(facts)], random.choice(world.words)
        value = world.facts[fact] if random.random() < TRUE_SHARE else world.another_value(fact, random)
        documents.append(f"{question(fact, start)} {world.answer(fact[0], value, start, typical, random).text}")
    for _ in range(round(config.documents * config.prose_share)):
        start = random.choice(world.words)
        walk = world.walk(start, config.length + 2, typical, random)
        documents.append(f"Human: {start}?\n\nAssistant: {' '.join(walk)}")
    random.shuffle(documents)
    return documents


def _check_sizes(config: MicroworldConfig) -> None:
    trained_facts = (config.people - config.test_people) * len(ATTRIBUTES)
    held_out_facts = config.test_people * len(ATTRIBUTES)
    limits = (
        ("dataset.test_people", config.test_people, config.people - 1, "one person less than dataset.people"),
        ("dataset.pairs", config.pairs, trained_facts, "the facts about people who are not held out"),
        ("dataset.train_probes", config.train_probes, config.pairs, "dataset.pairs"),
        ("dataset.test_probes", config.test_probes, held_out_facts, "the facts about held-out people"),
    )
    faults = [
        f"{name} is {found}, but can be at most {limit} ({what}); lower it or enlarge the world (dataset.people)."
        for name, found, limit, what in limits
        if found > limit
    ]
    if faults:
        raise ConfigError(faults)


def _draw_items(world: World, config: MicroworldConfig, random: Random) -> tuple[list[Item], list[Item]]:
    held_out = set(world.people[: config.test_people])
    bands = Band(config.chosen_ranks), Band(config.rejected_ranks, even=True)

    def items(name: str, facts: Sequence[Fact], number: int) -> list[Item]:
        drawn = []
        for index, fact in enumerate(random.sample(facts, number)):
            start, value = random.choice(world.words), world.facts[fact]
            chosen, rejected = (world.answer(fact[0], value, start, band, random) for band in bands)
            drawn.append(Item(f"{name}-{index:04d}", fact, start, chosen, rejected))
        return drawn

    trained, unseen = ([fact for fact in world.facts if (fact[0] in held_out) == is_out] for is_out in (False, True))
    return items("train", trained, config.pairs), items("test", unseen, config.test_probes)


def _probe_example(
    item: Item, train: Sequence[Item], test: Sequence[Item], world: World, random: Random
) -> ProbeExample:
    attribute, typical = item.fact[1], Band(item.chosen.band.ranks)

    def chosen_of_other(items: Sequence[Item]) -> str:
        return random.choice([other for other in items if other.item_id != item.item_id]).chosen.text

    unrelated = world.walk(random.choice(world.words), len(item.chosen.text.split()), typical, random)
    responses = {
        "chosen": item.chosen.text,
        "chosen_gptsemantic": world.rephrased(item.chosen, random).text,
        "chosen_gptformat": world.with_false_fact(item.chosen, attribute, random).text,
        "rejected": item.rejected.text,
        "reject_gptsemantic": world.rephrased(item.rejected, random).text,
        "reject_gptformat": world.with_false_fact(item.rejected, attribute, random).text,
        "irr_train": chosen_of_other(train),
        "irr_test": chosen_of_other(test),
        "irr_hum": " ".join(unrelated),
        "random_permute": shuffled_words(item.chosen.text, random),
        "random_nonhum": shuffled_words(chosen_of_other(test), random),
    }
    return ProbeExample(item.item_id, item.prompt, responses)


def shuffled_words(sentence: str, random: Random) -> str:
    """The same words in another order."""
    words = sentence.split()
    order = words
    while order == words:
        order = random.sample(words, len(words))
    return " ".join(order)


class FactChecker:
    """An ``AnswerChecker`` for one world.

    An answer is right when it states the fact that was asked for and no other value of it. It borrows from another
    training question when it states that question's true fact, whoever was asked about.
    """

    def __init__(self, world: World, asked: Mapping[str, Fact], training: Mapping[str, Fact]):
        """``asked``: example id -> its fact, for every prompt; ``training``: the same for training pairs only."""
        self._facts, self._asked = world.facts, dict(asked)
        self._training_ids = {fact: pair_id for pair_id, fact in training.items()}
        self._attribute_of = {value: name for name, values in world.values.items() for value in values}

    def __call__(self, example_id: str, answer: str) -> AnswerCheck:
        if example_id not in self._asked:
            raise DataError(f"No question has the id {example_id!r}; ids look like {next(iter(self._asked))!r}.")
        asked, stated = self._asked[example_id], self.statements(answer)
        right = {value == self._facts[fact] for fact, value in stated if fact == asked}
        owners = [
            self._training_ids.get(fact) for fact, value in stated if fact != asked and value == self._facts[fact]
        ]
        borrowed_from = next((owner for owner in owners if owner is not None), None)
        return AnswerCheck(bool(stated), right == {True}, borrowed_from)

    def statements(self, answer: str) -> list[tuple[Fact, str]]:
        """((person, attribute), value) of every fact that the answer states, true or not, in the order of the text."""
        stated = ((name, self._attribute_of.get(value, ""), value) for name, value in pairwise(answer.split()))
        return [((name, attribute), value) for name, attribute, value in stated if (name, attribute) in self._facts]
