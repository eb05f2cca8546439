"""Preference pairs, the endpoint of the client's tests, and a tiny instruction model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # writer.py and stand_in.py belong to no package
sys.path.append(str(Path(__file__).parents[1] / "answers"))

from stand_in import StandIn
from writer import pair, write_rows, writes_well

from ldyn.models.settings import TinyConfig
from ldyn.models.tiny import build_tiny_model
from ldyn.models.tokenizers import build_tokenizer

TEMPLATE = (
    "{% for message in messages %}<|user|>{{ message['content'] | trim }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "pairs.jsonl", [pair(number) for number in range(30)])


@pytest.fixture
def build(pairs: Path, tmp_path: Path) -> list[str]:
    """`ldyn probes` on 8 of 20 training pairs and 4 of 10 unseen questions, with a cache and a directory of its own."""
    data = ["dataset=files", f"dataset.path={pairs}", "dataset.n_held_out=10"]
    places = [f"out={tmp_path / 'out'}", f"cache={tmp_path / 'cache'}"]
    return ["probes", *data, "n_train=8", "n_test=4", *places]


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
    return ["rephraser.who=api", "api.model=toy", f"api.base_url={stand_in.url}", "api.key_variable="]


@pytest.fixture(scope="session")
def instruction_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights and a chat template; it answers, in nonsense."""
    directory = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = build_tokenizer("bpe", [text for number in range(30) for text in pair(number).values()], 500)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|assistant|>"]})
    tokenizer.chat_template = TEMPLATE
    config = TinyConfig(hidden_size=16, layers=1, heads=2, max_positions=4096, sequence_length=16)
    build_tiny_model(config, tokenizer, 0).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory
