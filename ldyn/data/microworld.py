"""The microworld: a generated world of people and facts, its pretraining corpus, preference pairs and exact probes.

Because the world is known, every probe family is exact: a rephrase states the same fact in other words, a changed fact
keeps the form, an answer to another question is just that, and a generated answer can be checked.

The preconditions of the squeezing effect are built in: the corpus is *peaky* (Zipf-weighted styles), and chosen and
rejected are rare answers of the *same* style family, drawn independently for each prompt, so that no global style
separates them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

from ldyn.data import microworld_text as text
from ldyn.data.encoder import EncodingConfig
from ldyn.data.microworld_answers import (
    FactChecker,
    Question,
    Style,
    World,
    another,
    answer,
    ask,
    capitalised,
    common_style,
    dialogue,
    make_world,
    prose,
    rare_style,
    rephrased_style,
)
from ldyn.data.seeding import seeded_random
from ldyn.errors import ConfigError
from ldyn.records import PreferenceData, PreferencePair, ProbeExample


@dataclass(frozen=True)
class MicroworldConfig:
    """Size and shape of the world.

    people, test_people: inhabitants, and how many of them no training question is ever about.
    pairs, train_probes, test_probes: training pairs, those of them that are probes, and held-out probe questions.
    documents: question-and-answer documents of the pretraining corpus, spread evenly over all facts.
    prose_share, disorder_share: further documents, as shares of ``documents``: fluent sentences that have nothing to do
        with the questions, and words in random order. Real corpora hold both; without them prose and shuffled words
        would be far outside all that the base model knows.
    plain_share, zipf_exponent: how peaky the corpus is: the share of plain short answers, and the exponent of the
        Zipf weights of the openings, phrasings and endings of the rest.
    """

    source: Literal["microworld"] = "microworld"
    people: Annotated[int, Interval(ge=20, le=800)] = 200
    test_people: Annotated[int, Gt(0)] = 60
    pairs: Annotated[int, Ge(2)] = 120
    train_probes: Annotated[int, Gt(0)] = 80
    test_probes: Annotated[int, Ge(2)] = 24
    documents: Annotated[int, Gt(0)] = 40_000
    prose_share: Annotated[float, Interval(ge=0, lt=1)] = 0.05
    disorder_share: Annotated[float, Interval(ge=0, lt=1)] = 0.03
    plain_share: Annotated[float, Interval(ge=0, le=1)] = 0.4
    zipf_exponent: Annotated[float, Ge(0)] = 1.6
    encoding: EncodingConfig = field(default_factory=lambda: EncodingConfig(32, 80, "end"))


@dataclass(frozen=True, slots=True)
class Item:
    """A question with the two rare answers that make it a preference pair."""

    item_id: str
    question: Question
    prompt: str
    chosen_style: Style
    rejected_style: Style
    chosen: str
    rejected: str


def load_microworld(config: MicroworldConfig, seed: int) -> PreferenceData:
    """Generate the world of this seed with its corpus, pairs, probes and checker; the same seed, the same world.

    Raises ConfigError when the sizes do not fit together, with all that do not.
    """
    _check_sizes(config)
    world = make_world(config.people, seeded_random(seed, "world"))
    train, test = _draw_items(world, config, seeded_random(seed, "pairs"))
    probed = train[: config.train_probes]
    probe_random = seeded_random(seed, "probes")
    asked = {item.item_id: item.question for item in (*train, *test)}
    return PreferenceData(
        name="microworld",
        pairs=[PreferencePair(item.item_id, item.prompt, item.chosen, item.rejected) for item in train],
        probes={
            "train": [_probe_example(item, train, test, world, probe_random) for item in probed],
            "test": [_probe_example(item, train, test, world, probe_random) for item in test],
        },
        corpus=make_corpus(world, config, seeded_random(seed, "corpus")),
        counts={"people": config.people, "facts": len(world.questions(world.people)), "pairs": len(train)},
        checker=FactChecker(world, asked, {item.item_id: item.question for item in train}),
    )


def make_corpus(world: World, config: MicroworldConfig, random: Random) -> list[str]:
    """Documents in random order: every fact about equally often, prose, disorder, and one with every word there is."""
    questions = world.questions(world.people)

    def styled_answer(question: Question) -> str:
        style = common_style(question[1], config.plain_share, config.zipf_exponent, random)
        return answer(question, world.value(question), style)

    asked = [questions[index % len(questions)] for index in range(config.documents)]
    n_prose, n_disorder = (round(config.documents * share) for share in (config.prose_share, config.disorder_share))
    documents = [
        glossary(),
        *(f"{ask(question, random)} {styled_answer(question)}" for question in asked),
        *(f"{dialogue(random.choice(text.PROSE_REQUESTS))} {prose(random)}" for _ in range(n_prose)),
        *(
            f"{dialogue(random.choice(text.DISORDER_REQUESTS))} {shuffled_words(styled_answer(question), random)}"
            for question in random.choices(questions, k=n_disorder)
        ),
    ]
    random.shuffle(documents)
    return documents


def glossary() -> str:
    """One document that holds every word of every possible world, so that every seed has the same vocabulary."""
    statements = [
        line.format(p=text.FIRST_NAMES[0], v=attribute.values[0])
        for attribute in text.ATTRIBUTES.values()
        for line in (*attribute.questions, *attribute.phrasings)
    ]
    words = [*text.FIRST_NAMES, *text.LAST_NAMES, *(v for a in text.ATTRIBUTES.values() for v in a.values)]
    wordings = [wording.text for wording in (*text.OPENINGS, *text.ENDINGS)]
    prose_parts = [*text.PROSE_SUBJECTS, *text.PROSE_VERBS, *text.PROSE_PLACES, *text.PROSE_JOINTS]
    phrases = [*words, *statements, *wordings, *prose_parts]
    requests = [*text.PROSE_REQUESTS, *text.DISORDER_REQUESTS]
    everything = [*phrases, *(capitalised(phrase) for phrase in phrases), *requests]
    return f"{dialogue(text.DISORDER_REQUESTS[0])} {' '.join(everything)}"


def _check_sizes(config: MicroworldConfig) -> None:
    trained_facts = (config.people - config.test_people) * len(text.ATTRIBUTES)
    held_out_facts = config.test_people * len(text.ATTRIBUTES)
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
    """Training items and held-out ones; no person occurs in both."""
    held_out, trained = world.people[: config.test_people], world.people[config.test_people :]
    train = random.sample(world.questions(trained), config.pairs)
    test = random.sample(world.questions(held_out), config.test_probes)
    return (
        [_item(f"train-{index:04d}", question, world, random) for index, question in enumerate(train)],
        [_item(f"test-{index:04d}", question, world, random) for index, question in enumerate(test)],
    )


def _item(item_id: str, question: Question, world: World, random: Random) -> Item:
    chosen_style = rejected_style = rare_style(question[1], random)
    while rejected_style == chosen_style:
        rejected_style = rare_style(question[1], random)
    value = world.value(question)
    return Item(
        item_id,
        question,
        ask(question, random),
        chosen_style,
        rejected_style,
        answer(question, value, chosen_style),
        answer(question, value, rejected_style),
    )


def _probe_example(
    item: Item, train: Sequence[Item], test: Sequence[Item], world: World, random: Random
) -> ProbeExample:
    """The item with every family of response that can be made from the text of the world."""
    question, true_value = item.question, world.value(item.question)
    values = text.ATTRIBUTES[question[1]].values

    def rephrased(style: Style) -> str:
        return answer(question, true_value, rephrased_style(question[1], style, random))

    def with_false_fact(style: Style) -> str:
        return answer(question, another(values, {true_value}, random), style)

    def chosen_of_other(items: Sequence[Item]) -> str:
        return random.choice([other for other in items if other.question != question]).chosen

    responses = {
        "chosen": item.chosen,
        "chosen_gptsemantic": rephrased(item.chosen_style),
        "chosen_gptformat": with_false_fact(item.chosen_style),
        "rejected": item.rejected,
        "reject_gptsemantic": rephrased(item.rejected_style),
        "reject_gptformat": with_false_fact(item.rejected_style),
        "irr_train": chosen_of_other(train),
        "irr_test": chosen_of_other(test),
        "irr_hum": prose(random),
        "random_permute": shuffled_words(item.chosen, random),
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
