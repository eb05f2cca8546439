"""Preference pairs, and the endpoint of the client's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # writer.py and stand_in.py belong to no package
sys.path.append(str(Path(__file__).parents[1] / "answers"))

from stand_in import StandIn
from writer import pair, write_rows, writes_well


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
