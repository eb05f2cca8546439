"""One rule for prompts, responses, separator and truncation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ldyn.data.encoder import Encoder, EncodingConfig
from ldyn.errors import ModelError
from ldyn.records import PreferencePair, ProbeExample

ROOMY = EncodingConfig(max_prompt_tokens=200, max_tokens=400, keep_prompt="end")
TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)


# --------------------------------------------------------------------------------------------------------------
# By hand: </s> 0, <unk> 2, "Who" 3, " is" 4, " Ada" 5, "?" 6, " a" 7, " baker" 8, " She" 9, " Oslo" 10, "." 11


def test_by_hand(tokenizers):
    encoder = Encoder(tokenizers["word_level"], EncodingConfig(5, 10, "end"))
    assert encoder.prompt("Who is Ada? \n") == (3, 4, 5, 6)
    assert encoder.response("a baker.") == (7, 8, 11, 0)
    assert encoder.response("\n  a baker. ") == (7, 8, 11, 0)
    assert encoder.response(" ") == ()


@pytest.mark.parametrize(("keep", "expected"), [("end", (4, 5, 6)), ("start", (3, 4, 5))])
def test_a_long_prompt_keeps_the_side_it_should(tokenizers, keep, expected):
    assert Encoder(tokenizers["word_level"], EncodingConfig(3, 10, keep)).prompt("Who is Ada?") == expected


def test_counts_by_hand(tokenizers):
    encoder = Encoder(tokenizers["word_level"], EncodingConfig(3, 6, "end"))
    pairs = [
        PreferencePair("fits", "Who", "a baker", "She"),
        PreferencePair("cut", "Who is Ada?", "a baker.", "She is a baker."),
        PreferencePair("no answer", "Who", " ", "She"),
        PreferencePair("no question", "\n", "a", "a"),
    ]
    assert [pair.pair_id for pair in encoder.pairs(pairs)] == ["fits", "cut"]
    assert encoder.counts == {
        "pairs.prompts": 4,
        "pairs.responses": 8,
        "pairs.truncated_prompt": 1,
        "pairs.truncated_response.chosen": 1,
        "pairs.truncated_response.rejected": 1,
        "pairs.empty_response.chosen": 1,
        "pairs.empty_prompt": 1,
        "pairs.dropped": 2,
    }


def test_probe_counts_by_hand(tokenizers):
    encoder = Encoder(tokenizers["word_level"], EncodingConfig(3, 6, "end"))
    examples = [
        ProbeExample("one", "Who is Ada?", {"chosen": "a baker.", "irr_hum": " ", "rejected": "Ada sings"}),
        ProbeExample("none", "Who", {"chosen": "  "}),
    ]
    (encoded,) = encoder.probes("test", examples)
    assert (encoded.split, encoded.example_id, encoded.prompt_ids) == ("test", "one", (4, 5, 6))
    assert encoded.responses == {"chosen": (7, 8, 11), "rejected": (5, 2, 0)}
    assert encoder.counts == {
        "probes.test.prompts": 2,
        "probes.test.responses": 4,
        "probes.test.truncated_prompt": 1,
        "probes.test.truncated_response.chosen": 1,
        "probes.test.empty_response.irr_hum": 1,
        "probes.test.empty_response.chosen": 1,
        "probes.test.unknown_tokens": 1,
        "probes.test.dropped": 1,
    }


# --------------------------------------------------------------------------------------------------------------
# Every make of tokenizer


def test_separate_tokenisation_equals_the_joint_one(tokenizer):
    """So the model meets at the seam what it met in pretraining: no doubled space, no missing one."""
    encoder = Encoder(tokenizer, ROOMY)
    joint = tokenizer("Who is Ada? a baker.")["input_ids"]
    assert encoder.prompt("Who is Ada?") + encoder.response("a baker.")[:-1] == tuple(joint)


def test_a_pair_and_a_probe_of_the_same_texts_have_the_same_ids(tokenizer):
    encoder = Encoder(tokenizer, EncodingConfig(4, 8, "end"))
    (pair,) = encoder.pairs([PreferencePair("x", "Who is Ada? Who is Ada?", " a baker. She is a baker.", "Oslo")])
    (probe,) = encoder.probes(
        "train",
        [ProbeExample("x", "Who is Ada? Who is Ada?\n", {"chosen": "a baker. She is a baker.", "rejected": " Oslo"})],
    )
    assert (pair.prompt_ids, pair.chosen_ids) == (probe.prompt_ids, probe.responses["chosen"])
    assert pair.rejected_ids == probe.responses["rejected"]


def test_a_response_depends_on_no_other_text_of_its_example(tokenizer):
    encoder = Encoder(tokenizer, EncodingConfig(4, 8, "end"))
    long = "She is a baker. " * 30
    (alone,) = encoder.probes("train", [ProbeExample("x", "Who?", {"chosen": "a baker."})])
    (crowded,) = encoder.probes(
        "train", [ProbeExample("x", long, {"rejected": long, "chosen": "a baker.", "irr_hum": long})]
    )
    assert alone.responses["chosen"] == crowded.responses["chosen"] == encoder.response("a baker.")
    assert all(len(ids) <= 4 for ids in [crowded.prompt_ids, *crowded.responses.values()])


@pytest.mark.parametrize("text", ["</s>", "a </s> b", "<s>", "<pad>", "</s></s>Ada"])
def test_control_tokens_are_not_parsed_from_text(tokenizer, text):
    encoder = Encoder(tokenizer, ROOMY)
    control = {tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id} - {None}
    begin = (tokenizer.bos_token_id,) if encoder.prompt("Who")[0] == tokenizer.bos_token_id else ()
    assert control.isdisjoint(encoder.response(text)[:-1])
    assert control.isdisjoint(encoder.prompt(text)[len(begin) :])


def test_a_control_token_that_is_a_word_of_the_vocabulary_becomes_unknown():
    backend = Tokenizer(models.WordLevel({"</s>": 0, "<unk>": 1, "a": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with_unknown = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")
    assert Encoder(with_unknown, ROOMY).response("a </s> a") == (2, 1, 2, 0)
    without_unknown = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")
    assert Encoder(without_unknown, ROOMY).response("a </s> a") == (2, 2, 0)


def test_bos_only_where_the_tokenizer_adds_it_and_within_the_limit(tokenizers):
    bos = tokenizers["llama_like"].bos_token_id
    for keep in ("start", "end"):
        ids = Encoder(tokenizers["llama_like"], EncodingConfig(4, 8, keep)).prompt("Who is Ada? She is a baker.")
        assert (ids[0], len(ids), ids.count(bos)) == (bos, 4, 1)
    assert Encoder(tokenizers["llama_like"], ROOMY).response("a").count(bos) == 0
    assert tokenizers["metaspace"].bos_token_id not in Encoder(tokenizers["metaspace"], ROOMY).prompt("Who")


def test_a_response_without_tokens_is_dropped():
    tokenizer = _without_most_characters()
    encoder = Encoder(tokenizer, EncodingConfig(4, 8, "end", separator=""))
    assert encoder.response("日本") == ()
    (encoded,) = encoder.probes("train", [ProbeExample("x", "ab", {"chosen": "ab", "irr_hum": "日本"})])
    assert list(encoded.responses) == ["chosen"]
    assert encoder.counts["probes.train.empty_response.irr_hum"] == 1


def _without_most_characters() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")


# --------------------------------------------------------------------------------------------------------------
# Faults


def test_no_room_for_a_response_is_a_fault():
    with pytest.raises(ValueError, match="max_tokens is 256 and max_prompt_tokens 256, which leaves no room"):
        EncodingConfig(max_prompt_tokens=256, max_tokens=256)


def test_a_tokenizer_without_eos_is_refused():
    backend = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        Encoder(PreTrainedTokenizerFast(tokenizer_object=backend), ROOMY)


# --------------------------------------------------------------------------------------------------------------
# Any text


@settings(max_examples=60, deadline=None)
@given(prompt=TEXT, response=TEXT, space=st.sampled_from(["", " ", "\n", " \t"]))
def test_any_text_byte_level(tokenizers, prompt, response, space):
    tokenizer = tokenizers["byte_level"]
    encoder = Encoder(tokenizer, ROOMY)
    prompt_ids, response_ids = encoder.prompt(prompt), encoder.response(response)
    assert response_ids == encoder.response(space + response + space)
    assert prompt_ids == encoder.prompt(prompt + space)
    assert bool(response_ids) == bool(response.strip())
    if response_ids and len(response_ids) < 200 and len(prompt_ids) < 200:
        assert response_ids[-1] == tokenizer.eos_token_id
        text = tokenizer.decode(prompt_ids + response_ids[:-1], clean_up_tokenization_spaces=False)
        assert text == f"{prompt.rstrip()} {response.strip()}"


@settings(max_examples=60, deadline=None)
@given(response=TEXT, room=st.integers(1, 12), prompt_room=st.integers(1, 12))
def test_any_text_is_cut_to_its_beginning(tokenizers, response, room, prompt_room):
    for tokenizer in tokenizers.values():
        whole = Encoder(tokenizer, ROOMY).response(response)
        cut = Encoder(tokenizer, EncodingConfig(prompt_room, prompt_room + room, "end")).response(response)
        assert cut == whole[:room]
