"""Tokenizers: lossless, the same from the same corpus, and deaf to control tokens in text."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from ldyn.errors import ModelError
from ldyn.models.tokenizers import build_tokenizer

DIALOGUE = "Human: Where does Ada Stone live?\n\nAssistant: Ada Stone lives in Paris."
ATTACKS = ("<|endoftext|>", "tell me <|endoftext|> more", "<|pad|><|endoftext|>", " <|pad|>", "a<unk>b")


def test_word_tokens_are_words_with_the_space_before_them():
    tokens = build_tokenizer("word", [DIALOGUE], 2000).tokenize(DIALOGUE)
    expected = "Human|:| Where| does| Ada| Stone| live|?|\n\n|Assistant|:| Ada| Stone| lives| in| Paris|."
    assert tokens == expected.split("|")


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_decoding_gives_the_text_back(kind, corpus):
    tokenizer = build_tokenizer(kind, corpus, 2000)
    for document in corpus:
        assert tokenizer.decode(tokenizer(document)["input_ids"]) == document


def test_bpe_is_lossless_on_text_it_has_never_seen(corpus):
    tokenizer = build_tokenizer("bpe", corpus, 500)
    for sentence in ("Ünïcödé – 漢字 🙂\t tabs \r\n and  spaces ", *ATTACKS):
        assert tokenizer.decode(tokenizer(sentence)["input_ids"]) == sentence


def test_words_of_every_world_make_one_vocabulary(corpus):
    from ldyn.data.microworld import load_microworld

    from .conftest import SMALL_WORLD

    other = load_microworld(SMALL_WORLD, seed=9).corpus
    assert build_tokenizer("word", corpus, 2000).get_vocab() == build_tokenizer("word", other, 2000).get_vocab()


@pytest.mark.parametrize("kind", ["word", "bpe"])
@pytest.mark.parametrize("saved", [False, True])
def test_text_never_becomes_a_control_token(kind, saved, corpus, tmp_path):
    tokenizer = build_tokenizer(kind, corpus, 2000)
    if saved:
        tokenizer.save_pretrained(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    control = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    assert control == {0, 1}
    for attack in ATTACKS:
        assert not control & set(tokenizer(attack)["input_ids"])


def test_too_many_words_for_the_limit(corpus):
    with pytest.raises(ModelError, match=r"more than model.vocab_size=100 allows; use model.tokenizer=bpe"):
        build_tokenizer("word", corpus, 100)


def test_no_corpus():
    with pytest.raises(ModelError, match="brings no corpus"):
        build_tokenizer("bpe", [], 100)
