"""Tokenizers built from a corpus, without any download.

``word`` is word-level and lossless on its own corpus: a token is a word with the space before it (" Ada"), a mark
("?") or a line break; decoding concatenates. A word it has never seen becomes ``<unk>``. ``bpe`` is a byte-level BPE,
lossless on any text. In both, text never yields a control token: "<|endoftext|>" typed by a person is split like any
other text.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ldyn.errors import ModelError
from ldyn.models.settings import TokenizerKind

END_OF_TEXT, PADDING, UNKNOWN = "<|endoftext|>", "<|pad|>", "<unk>"
SPECIAL_TOKENS = (END_OF_TEXT, PADDING, UNKNOWN)
_WORD_PATTERN = r"\n\n| ?\w+| ?[^\w\s]|\s"


def build_tokenizer(kind: TokenizerKind, corpus: Sequence[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A tokenizer of the given kind, made from the corpus.

    ``vocab_size`` is the target of BPE (fewer where the corpus is small) and the limit of the word vocabulary.
    Raises ModelError where the words of the corpus do not fit, or where there is no corpus.
    """
    if not corpus:
        raise ModelError(
            "The data set brings no corpus, but a tokenizer is to be made from one; choose a data set with a corpus "
            "(dataset=microworld, or one with text to pretrain on) or a pretrained model."
        )
    backend = _word_level(corpus, vocab_size) if kind == "word" else _byte_level_bpe(corpus, vocab_size)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END_OF_TEXT,
        pad_token=PADDING,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )


def _word_level(corpus: Sequence[str], vocab_size: int) -> Tokenizer:
    pre_tokenizer = pre_tokenizers.Split(Regex(_WORD_PATTERN), behavior="isolated")
    words = {word for document in corpus for word, _ in pre_tokenizer.pre_tokenize_str(document)}
    tokens = [*SPECIAL_TOKENS, *sorted(words - set(SPECIAL_TOKENS))]
    if len(tokens) > vocab_size:
        raise ModelError(
            f"The corpus has {len(words)} different words, more than model.vocab_size={vocab_size} allows; "
            "use model.tokenizer=bpe for real text, or raise model.vocab_size."
        )
    tokenizer = Tokenizer(models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _byte_level_bpe(corpus: Sequence[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer
