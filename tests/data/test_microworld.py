"""The microworld: known distributions, exact probes, nothing held out leaks, one seed one world, checkable facts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ldyn.data.encoder import EncodingConfig
from ldyn.data.microworld import MicroworldConfig, World, load_microworld
from ldyn.data.seeding import seeded_random
from ldyn.data.sources import base_seed
from ldyn.errors import ConfigError, DataError
from ldyn.records import PROBE_FAMILIES, PreferenceData, ProbeExample

SMALL = MicroworldConfig(people=40, test_people=12, pairs=60, train_probes=25, test_probes=20, documents=600)
SEED = 3


@pytest.fixture(scope="module")
def data() -> PreferenceData:
    return load_microworld(SMALL, SEED)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SMALL, seeded_random(SEED, "world"))


@pytest.fixture(scope="module")
def examples(data: PreferenceData) -> list[ProbeExample]:
    return [*data.probes["train"], *data.probes["test"]]


def ranks_of(world: World, start: str, answer: str) -> list[int]:
    """The rank of each word behind the one before it. A name is no step of the walk, and its value begins it anew."""
    ranks, word, is_value = [], start, False
    for following in answer.split():
        if following.istitle():
            is_value = True
            continue
        if not is_value:
            ranks.append(world._successors[word].index(following) + 1)
        word, is_value = following, False
    return ranks


def start_of(prompt: str) -> str:
    return prompt.removesuffix("?\n\nAssistant:").split()[-1]


def people_in(text: str) -> set[str]:
    return {word.strip(",") for word in text.split() if word.istitle() and not word.endswith(":")}


def test_one_seed_one_world_and_another_seed_another(data):
    again, other = load_microworld(SMALL, SEED), load_microworld(SMALL, SEED + 1)
    assert (again.pairs, again.probes, again.corpus) == (data.pairs, data.probes, data.corpus)
    assert other.pairs != data.pairs
    assert other.corpus != data.corpus


def test_one_world_under_several_seeds(data):
    """Nested seeds: the world and its corpus are the same, so the base is, too; pairs and probes are others."""
    nested = load_microworld(replace(SMALL, world_seed=SEED), SEED + 1)
    assert nested.corpus == data.corpus
    assert not {pair.chosen for pair in nested.pairs} & {pair.chosen for pair in data.pairs}
    assert nested.probes != data.probes
    of_its_own = load_microworld(replace(SMALL, world_seed=SEED), SEED)
    assert (of_its_own.pairs, of_its_own.probes) == (data.pairs, data.probes)
    assert [base_seed(replace(SMALL, world_seed=seed), 7) for seed in (None, 0, SEED)] == [7, 0, SEED]


def test_the_corpus_does_not_depend_on_what_is_trained_and_probed_nor_on_the_depth(data):
    """Else a change of these would need another base model."""
    other = replace(SMALL, pairs=30, train_probes=10, test_probes=5, chosen_ranks=(5, 15), rejected_ranks=(16, 40))
    assert load_microworld(other, SEED).corpus == data.corpus


def test_sizes_ids_and_families(data, examples):
    assert (len(data.pairs), len(data.probes["train"]), len(data.probes["test"])) == (60, 25, 20)
    by_id = {pair.pair_id: pair for pair in data.pairs}
    for example in data.probes["train"]:
        pair = by_id[example.example_id]
        assert (example.prompt, example.responses["chosen"]) == (pair.prompt, pair.chosen)
        assert example.responses["rejected"] == pair.rejected
    for example in examples:
        assert set(example.responses) == set(PROBE_FAMILIES) - {"chosen_initial", "chosen_selfr"}  # these need a model
        assert {len(text.split()) for text in example.responses.values()} == {22}


def test_people_of_test_probes_occur_in_no_training_pair_but_in_the_corpus(data):
    trained = {person for pair in data.pairs for person in people_in(f"{pair.prompt} {pair.chosen} {pair.rejected}")}
    asked = {person for example in data.probes["test"] for person in people_in(example.prompt)}
    assert trained
    assert not trained & asked
    assert asked <= {person for document in data.corpus for person in people_in(document)}


@pytest.mark.parametrize("bands", [((1, 40), (6, 40)), ((5, 15), (16, 40)), ((1, 4), (1, 4))])
def test_every_word_is_drawn_from_the_ranks_that_are_set(bands):
    config = replace(SMALL, chosen_ranks=bands[0], rejected_ranks=bands[1])
    data, world = load_microworld(config, SEED), World(config, seeded_random(SEED, "world"))
    for example in (*data.probes["train"], *data.probes["test"]):
        for key, (first, last) in zip(("chosen", "reject"), bands, strict=True):
            side = "rejected" if key == "reject" else key
            for probe in (side, f"{key}_gptsemantic", f"{key}_gptformat"):
                ranks = ranks_of(world, start_of(example.prompt), example.responses[probe])
                assert len(ranks) == SMALL.length
                assert first <= min(ranks) <= max(ranks) <= last, probe


def test_the_corpus_follows_the_distribution_and_a_greedy_walk_never_repeats(world):
    corpus = load_microworld(replace(SMALL, documents=3000), SEED).corpus
    told = [document.partition("Assistant: ") for document in corpus if "Assistant: " in document]
    starts = [(start_of(prompt + "Assistant:"), text) for prompt, _, text in told]
    ranks = Counter(rank for start, text in starts for rank in ranks_of(world, start, text))
    total = sum(rank**-1.6 for rank in range(1, 41))
    for rank in (1, 2, 5):
        assert ranks[rank] / ranks.total() == pytest.approx(rank**-1.6 / total, abs=0.01)
    word, seen = world.words[0], set()
    while word not in seen:
        seen.add(word)
        word = world._successors[word][0]
    assert len(seen) == len(world.words)


def test_rephrases_keep_the_fact_and_changed_facts_do_not(data, examples):
    for example in examples:
        for key, origin in (("chosen", "chosen"), ("reject", "rejected")):
            source, semantic = example.responses[origin], example.responses[f"{key}_gptsemantic"]
            changed = example.responses[f"{key}_gptformat"]
            assert semantic != source != changed
            assert data.checker(example.example_id, source).is_right
            assert data.checker(example.example_id, semantic).is_right
            check = data.checker(example.example_id, changed)
            assert (check.states_a_fact, check.is_right) == (True, False)
            assert source.split()[:2] in (semantic.split()[:2], changed.split()[:2])


def test_irrelevant_and_random_answers(data, examples):
    chosen_of_training = {pair.chosen for pair in data.pairs}
    chosen_of_test = {example.responses["chosen"] for example in data.probes["test"]}
    for example in examples:
        responses = example.responses
        assert responses["irr_train"] in chosen_of_training - {responses["chosen"]}
        assert responses["irr_test"] in chosen_of_test - {responses["chosen"]}
        borrowed = data.checker(example.example_id, responses["irr_train"])
        assert (borrowed.states_a_fact, borrowed.is_right) == (True, False)
        assert borrowed.borrowed_from not in (None, example.example_id)
        assert data.checker(example.example_id, responses["irr_test"]).borrowed_from is None
        assert not data.checker(example.example_id, responses["irr_hum"]).states_a_fact
        assert sorted(responses["random_permute"].split()) == sorted(responses["chosen"].split())
        assert responses["random_permute"] != responses["chosen"]


def test_the_checker_reads_free_text(data, world):
    pair, other = data.pairs[0], data.pairs[1]
    (person, attribute), (stranger, of_stranger) = (
        next(fact for fact in world.facts if one.prompt.startswith(f"Human: {fact[1]} of {fact[0]},"))
        for one in (pair, other)
    )
    value, strange = world.facts[person, attribute], world.facts[stranger, of_stranger]
    false = next(one for one in world.values[attribute] if one != value)

    def checked(answer):
        check = data.checker(pair.pair_id, answer)
        return check.states_a_fact, check.is_right, check.borrowed_from

    assert checked(f" {person} {value}") == checked(f"x {person}\n{value} {person} {value} y") == (True, True, None)
    assert checked(f"{person} {value} {person} {false}") == (True, False, None)  # it contradicts itself
    assert checked(f"{stranger} {strange}") == (True, False, other.pair_id)
    assert checked(f"{person} {value} {stranger} {strange}") == (True, True, other.pair_id)
    for nothing in ("", value, person, f"{value} {person}", f"Nobody {value}"):
        assert checked(nothing) == (False, False, None)
    with pytest.raises(DataError, match="nobody"):
        data.checker("nobody", f"{person} {value}")


def test_the_configured_world_is_the_default_one():
    """``MicroworldConfig()`` in a notebook is what ``dataset=microworld`` is on the command line."""
    file = Path(__file__).resolve().parents[2] / "configs" / "dataset" / "microworld.yaml"
    settings = yaml.safe_load(file.read_text())
    settings["encoding"] = EncodingConfig(**settings["encoding"])
    ranks = {name: tuple(settings[name]) for name in ("chosen_ranks", "rejected_ranks")}
    assert MicroworldConfig(**{**settings, **ranks}) == MicroworldConfig()


def test_sizes_that_do_not_fit_are_reported():
    config = MicroworldConfig(people=20, test_people=5, pairs=100, train_probes=80, test_probes=60)
    with pytest.raises(ConfigError) as raised:
        load_microworld(config, seed=0)
    assert len(raised.value.faults) == 2
    assert "dataset.pairs is 100, but can be at most 75" in str(raised.value)
    with pytest.raises(ValueError, match=r"chosen_ranks is \[5, 4\]; expected first <= last <= successors=40"):
        MicroworldConfig(chosen_ranks=(5, 4))
