"""Preference pairs, the endpoint of the client's tests, and a tiny instruction model."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "generation"):
    sys.path.append(str(folder))  # writer.py and stand_in.py belong to no package

from stand_in import StandIn
from writer import writes_well

from ldyn.models.tiny import TinyConfig, build_tiny_model
from ldyn.models.tokenizers import build_tokenizer

NOUNS = "heron violin ferry baker lantern cellar orchard tailor harbour pumpkin".split()
TEMPLATE = (
    "{% for message in messages %}<|user|>{{ message['content'] | trim }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def pair(number: int) -> dict[str, str]:
    noun, other = NOUNS[number % 10], NOUNS[number // 10 % 10]
    return {
        "prompt": f"\n\nHuman: What should I know about the {noun} and the {other}, question {number}?\n\nAssistant:",
        "chosen": f" The {noun} number {number} is seldom without its {other}, and rarely late.",
        "rejected": f"I would not ask about any {noun} of kind {number} before {other} noon.",
    }


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "pairs.jsonl", [pair(number) for number in range(30)])


@pytest.fixture
def build(pairs: Path, tmp_path: Path) -> list[str]:
    """`ldyn probes` on 8 of 20 training pairs and 4 of 10 unseen questions, with a cache and a folder of its own."""
    data = ["dataset=jsonl", f"dataset.path={pairs}", "dataset.n_held_out=10"]
    places = ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    return ["probes", *data, "--n-train", "8", "--n-test", "4", *places]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """An endpoint that writes well; no proxy stands before it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    server = StandIn()
    server.behaviour = writes_well
    yield server
    server.close()


@pytest.fixture
def by_api(stand_in: StandIn) -> list[str]:
    return ["--rephraser", "api", "--model", "toy", "--base-url", stand_in.url, "--key-variable", ""]


@pytest.fixture(scope="session")
def instruction_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights and a chat template; it answers, in nonsense."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = build_tokenizer("bpe", [text for number in range(30) for text in pair(number).values()], 500)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|assistant|>"]})
    tokenizer.chat_template = TEMPLATE
    config = TinyConfig(hidden_size=16, layers=1, heads=2, max_positions=4096, sequence_length=16)
    build_tiny_model(config, tokenizer, 0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
