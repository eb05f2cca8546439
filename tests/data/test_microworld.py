"""The microworld: exact probes, nothing held out leaks, one seed one world, and a checker that reads free text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ldyn.data import microworld_text as text
from ldyn.data.encoder import EncodingConfig
from ldyn.data.microworld import MicroworldConfig, glossary, load_microworld
from ldyn.errors import ConfigError, DataError
from ldyn.records import PROBE_FAMILIES, PreferenceData, ProbeExample

SMALL = MicroworldConfig(people=40, test_people=12, pairs=60, train_probes=25, test_probes=20, documents=600)
TEXT_FAMILIES = set(PROBE_FAMILIES) - {"chosen_initial", "chosen_selfr"}  # those two need a model


@pytest.fixture(scope="module")
def data() -> PreferenceData:
    return load_microworld(SMALL, seed=3)


@pytest.fixture(scope="module")
def examples(data: PreferenceData) -> list[ProbeExample]:
    return [*data.probes["train"], *data.probes["test"]]


def people_in(sentence: str) -> set[str]:
    first, last = "|".join(text.FIRST_NAMES), "|".join(text.LAST_NAMES)
    return set(re.findall(rf"\b(?:{first}) (?:{last})\b", sentence))


def words_of(sentence: str) -> set[str]:
    return set(re.findall(r"\w+|[^\w\s]", sentence))


def test_one_seed_one_world_and_another_seed_another(data):
    again, other = load_microworld(SMALL, seed=3), load_microworld(SMALL, seed=4)
    assert (again.pairs, again.probes, again.corpus) == (data.pairs, data.probes, data.corpus)
    assert other.pairs != data.pairs
    assert other.corpus != data.corpus


def test_the_corpus_does_not_hang_on_what_is_trained_and_probed(data):
    """Else a change of the number of pairs would need another base model."""
    assert load_microworld(replace(SMALL, pairs=30, train_probes=10, test_probes=5), seed=3).corpus == data.corpus


def test_sizes_ids_and_families(data, examples):
    assert (len(data.pairs), len(data.probes["train"]), len(data.probes["test"])) == (60, 25, 20)
    assert len({pair.pair_id for pair in data.pairs}) == 60
    by_id = {pair.pair_id: pair for pair in data.pairs}
    for example in data.probes["train"]:
        pair = by_id[example.example_id]
        assert (example.prompt, example.responses["chosen"]) == (pair.prompt, pair.chosen)
        assert example.responses["rejected"] == pair.rejected
    for example in examples:
        assert set(example.responses) == TEXT_FAMILIES
        assert example.prompt.startswith("Human: ")
        assert example.prompt.endswith("?\n\nAssistant:")


def test_people_of_test_probes_occur_in_no_training_pair_but_in_the_corpus(data):
    trained = {person for pair in data.pairs for person in people_in(pair.prompt + " " + pair.chosen + pair.rejected)}
    asked = {person for example in data.probes["test"] for person in people_in(example.prompt)}
    assert trained
    assert asked
    assert not trained & asked
    assert asked <= {person for document in data.corpus for person in people_in(document)}


def test_chosen_and_rejected_are_different_rare_answers_that_state_the_same_fact(data):
    for pair in data.pairs:
        assert pair.chosen != pair.rejected
        assert data.checker(pair.pair_id, pair.chosen).is_right
        assert data.checker(pair.pair_id, pair.rejected).is_right
        for answer in (pair.chosen, pair.rejected):
            assert not any(wording.text in answer for wording in (*text.OPENINGS[:2], *text.ENDINGS[:2]))


def test_rephrases_keep_the_fact_and_changed_facts_keep_the_form(data, examples):
    for example in examples:
        for key, origin in (("chosen", "chosen"), ("reject", "rejected")):
            source, semantic = example.responses[origin], example.responses[f"{key}_gptsemantic"]
            changed = example.responses[f"{key}_gptformat"]
            assert semantic != source
            assert data.checker(example.example_id, semantic).is_right
            check = data.checker(example.example_id, changed)
            assert check.states_a_fact
            assert not check.is_right
            different = [(a, b) for a, b in zip(source.split(), changed.split(), strict=True) if a != b]
            assert len(different) == 1, "the two differ in the value and nowhere else"


def test_irrelevant_answers_belong_to_other_questions(data, examples):
    chosen_of_training = {pair.chosen for pair in data.pairs}
    chosen_of_test = {example.responses["chosen"] for example in data.probes["test"]}
    for example in examples:
        responses = example.responses
        assert responses["irr_train"] in chosen_of_training - {responses["chosen"]}
        assert responses["irr_test"] in chosen_of_test - {responses["chosen"]}
        borrowed = data.checker(example.example_id, responses["irr_train"])
        assert borrowed.states_a_fact
        assert not borrowed.is_right
        assert borrowed.borrowed_from not in (None, example.example_id)
        assert data.checker(example.example_id, responses["irr_test"]).borrowed_from is None
        assert not data.checker(example.example_id, responses["irr_hum"]).states_a_fact


def test_random_probes_are_shuffled_words(examples):
    for example in examples:
        chosen, permuted = example.responses["chosen"].split(), example.responses["random_permute"].split()
        assert sorted(chosen) == sorted(permuted)
        assert chosen != permuted
        assert sorted(example.responses["random_nonhum"].split()) != sorted(chosen)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_every_word_of_every_world_is_in_the_glossary_and_so_in_the_corpus(seed):
    data = load_microworld(replace(SMALL, documents=100), seed)
    known = words_of(glossary())
    texts = [*data.corpus, *(answer for pair in data.pairs for answer in (pair.prompt, pair.chosen, pair.rejected))]
    texts += [
        response for split in data.probes.values() for example in split for response in example.responses.values()
    ]
    assert glossary() in data.corpus
    assert {word for sentence in texts for word in words_of(sentence)} <= known


def test_the_corpus_is_peaky():
    """The plain answer is the commonest, and each wording is less common than the one before it."""
    config = replace(SMALL, documents=20_000)
    corpus = load_microworld(config, seed=0).corpus
    counts = [sum(wording.text in document for document in corpus) for wording in text.OPENINGS]
    assert counts[0] > 2 * counts[1] > 2 * counts[2] > 0
    plain = sum(document.count(".") == 1 and "words" not in document for document in corpus)
    assert 0.4 < plain / config.documents < 0.5  # 40 % plain answers and 5 % prose, of one sentence each


class TestChecker:
    """Free text, as a model would write it."""

    @pytest.fixture
    def asked(self, data):
        """A training question about a city: its id, person and true city, and a training question of someone else."""
        cities = [pair for pair in data.pairs if "live?" in pair.prompt or "In which city" in pair.prompt]
        value = {pair.pair_id: next(v for v in text.ATTRIBUTES["city"].values if v in pair.chosen) for pair in cities}
        one = cities[0]
        other = next(pair for pair in cities if value[pair.pair_id] != value[one.pair_id])
        (person,), (stranger,) = people_in(one.prompt), people_in(other.prompt)
        return one.pair_id, person, value[one.pair_id], other.pair_id, stranger, value[other.pair_id]

    def test_right_in_any_style_and_cut_off_or_repeated(self, data, asked):
        example_id, person, city, *_ = asked
        for answer in (
            f" {person} lives in {city}.",
            f"Well, {person} lives in {city} and then some",
            f"The home of {person} is in {city}. The home of {person} is in {city}.",
            f"{city} is the city where {person} lives",
            f"you can\nfind {person} in {city}",
        ):
            check = data.checker(example_id, answer)
            assert (check.states_a_fact, check.is_right, check.borrowed_from) == (True, True, None), answer

    def test_contradicting_itself_is_not_right(self, data, asked):
        example_id, person, city, _, _, wrong_city = asked
        assert not data.checker(example_id, f"{person} lives in {city}. {person} lives in {wrong_city}.").is_right

    def test_the_fact_of_another_training_question_is_borrowed(self, data, asked):
        example_id, person, city, other_id, stranger, other_city = asked
        check = data.checker(example_id, f"{stranger} lives in {other_city}.")
        assert (check.states_a_fact, check.is_right, check.borrowed_from) == (True, False, other_id)
        both = data.checker(example_id, f"{person} lives in {city}. The home of {stranger} is in {other_city}.")
        assert (both.is_right, both.borrowed_from) == (True, other_id)

    @pytest.mark.parametrize("answer", ["", "I do not know.", "lives in Paris.", "Ada lives in Paris", "Parisian"])
    def test_no_fact(self, data, asked, answer):
        assert not data.checker(asked[0], answer).states_a_fact

    def test_unknown_id(self, data):
        with pytest.raises(DataError, match="nobody"):
            data.checker("nobody", "Ada Stone lives in Paris.")


def test_the_configured_world_is_the_default_one():
    """``MicroworldConfig()`` in a notebook is what ``dataset=microworld`` is on the command line."""
    file = Path(__file__).resolve().parents[2] / "configs" / "dataset" / "microworld.yaml"
    settings = yaml.safe_load(file.read_text())
    settings["encoding"] = EncodingConfig(**settings["encoding"])
    assert MicroworldConfig(**settings) == MicroworldConfig()


def test_sizes_that_do_not_fit_are_reported_together():
    config = MicroworldConfig(people=20, test_people=5, pairs=100, train_probes=80, test_probes=60)
    with pytest.raises(ConfigError) as raised:
        load_microworld(config, seed=0)
    assert len(raised.value.faults) == 2
    assert "dataset.pairs is 100, but can be at most 60" in str(raised.value)
    assert "dataset.test_probes is 60, but can be at most 20" in str(raised.value)
