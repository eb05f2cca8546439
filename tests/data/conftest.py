"""Tokenizers of four makes and writers of small data sets; nothing is downloaded."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

sys.path.append(str(Path(__file__).parent))  # hub_stand_in.py is no test module and belongs to no package

TEXTS = ["Who is Ada? Ada is a baker. She lives in Oslo.\n\nHuman: Is it so?\n\nAssistant: It is."] * 20
SPECIAL = ["</s>", "<pad>", "<unk>", "<s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level() -> PreTrainedTokenizerFast:
    """As GPT-2, Pythia and Qwen: spaces belong to the word behind them, every byte has a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=350, special_tokens=["</s>", "<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")


def llama_like() -> PreTrainedTokenizerFast:
    """As Llama 2: a space is put before every text, unknown characters fall back to bytes, BOS is added by default."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=[*SPECIAL, *BYTES], show_progress=False)
    # Merges must not run over word boundaries, as in a sentencepiece model.
    tokenizer.train_from_iterator([word for text in TEXTS for word in text.split()], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", bos_token="<s>"
    )


def metaspace() -> PreTrainedTokenizerFast:
    """As newer sentencepiece conversions: a space is put before a text unless it begins with one."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=150, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>", bos_token="<s>"
    )


def word_level() -> PreTrainedTokenizerFast:
    """As the microworld's: a token is a word with the space before it. The ids are written out for tests by hand."""
    words = ["</s>", "<pad>", "<unk>", "Who", " is", " Ada", "?", " a", " baker", " She", " Oslo", "."]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\w\s]|\s"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


MAKES: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte_level": byte_level,
    "llama_like": llama_like,
    "metaspace": metaspace,
    "word_level": word_level,
}


@pytest.fixture(scope="session")
def tokenizers() -> dict[str, PreTrainedTokenizerFast]:
    return {name: make() for name, make in MAKES.items()}


@pytest.fixture(params=MAKES)
def tokenizer(request: pytest.FixtureRequest, tokenizers: dict[str, PreTrainedTokenizerFast]) -> Any:
    return tokenizers[request.param]


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[[str, Sequence[Any]], Path]:
    """Writes rows (objects, or lines as they are) to a file of the test's directory and returns its path."""

    def write(name: str, rows: Sequence[Any]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write
