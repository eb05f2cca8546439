"""Load the base model: the tiny one (pretrained in the first run, cached after), or any pretrained causal model."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import AutoTokenizer

from ldyn.models.base import BaseModel, fingerprint
from ldyn.models.cache import cached_directory
from ldyn.models.pretrained import load_pretrained, load_weights
from ldyn.models.settings import PretrainedConfig, TinyConfig
from ldyn.models.tiny import build_tiny_model, pretrain
from ldyn.models.tokenizers import build_tokenizer

# Raise it when a change of the code would make another base of the same config: tokenizer, initialisation, training.
RECIPE_VERSION = 1
RECORD = "pretraining.json"


def load_base(config: TinyConfig | PretrainedConfig, *, corpus: Sequence[str], seed: int, cache_dir: Path) -> BaseModel:
    """The base model and its tokenizer, ready to score (evaluation mode, on the CPU).

    A tiny base is looked up under ``cache_dir/base/<key>`` and made there if need be; the key covers the config, the
    corpus, the seed and the version of the recipe. Raises ModelError with the next step where loading is impossible.
    """
    if isinstance(config, PretrainedConfig):
        return load_pretrained(config, corpus=corpus, seed=seed)
    entry = cache_dir / "base" / cache_key(config, corpus, seed)
    from_cache = cached_directory(entry, lambda directory: build_tiny_base(directory, config, corpus, seed))
    model = load_weights(entry, dtype=torch.float32, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(entry, local_files_only=True)
    return BaseModel(model, tokenizer, fingerprint(model, tokenizer), from_cache)


def cache_key(config: TinyConfig, corpus: Sequence[str], seed: int) -> str:
    """Names what the tiny base is made of; 16 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps([RECIPE_VERSION, asdict(config), seed], sort_keys=True).encode())
    for document in corpus:
        digest.update(hashlib.sha256(document.encode()).digest())
    return digest.hexdigest()[:16]


def build_tiny_base(directory: Path, config: TinyConfig, corpus: Sequence[str], seed: int) -> None:
    """Make tokenizer and model, pretrain, and write them with a record of what it took."""
    started = time.perf_counter()
    tokenizer = build_tokenizer(config.tokenizer, corpus, config.vocab_size)
    model = build_tiny_model(config, tokenizer, seed)
    loss = pretrain(model, tokenizer, corpus, config, seed)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    record = {"config": asdict(config), "seed": seed, "loss": loss, "seconds": time.perf_counter() - started}
    (directory / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
