"""A small model with random weights and a few examples, encoded and as files."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, PreTrainedModel

from ldyn.records import EncodedProbeExample

VOCABULARY = 61


@pytest.fixture
def model() -> PreTrainedModel:
    """Two layers, sharpened so that predictions differ between positions."""
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(6)
    return model


def example(number: int, n_prompt: int, lengths: list[int]) -> EncodedProbeExample:
    rng = random.Random(number)
    responses = {f"probe{k}": tuple(rng.choices(range(VOCABULARY), k=n)) for k, n in enumerate(lengths)}
    return EncodedProbeExample("train", f"id{number}", tuple(rng.choices(range(VOCABULARY), k=n_prompt)), responses)


@pytest.fixture
def examples() -> list[EncodedProbeExample]:
    return [example(0, 5, [3, 9, 1, 20, 7]), example(1, 1, [1]), example(2, 17, [12, 11, 13, 40, 2, 2, 2])]


@pytest.fixture
def probe_directory(tmp_path: Path) -> Path:
    """Probe files as the paper's, of a few short rows."""
    for split, first in (("train", 0), ("test", 6)):
        rows = [
            {
                "prompt": f"Human: What does number {number} like?\n\nAssistant:",
                "chosen": f" Number {number} likes tea with milk.",
                "rejected": f" I do not know, ask number {number + 1}.",
                "chosen_selfr": "@@@ Original sentence",
            }
            for number in range(first, first + 6)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"probe_{split}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path
