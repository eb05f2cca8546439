"""A corpus of a tiny world and a base that takes a second to make."""

from __future__ import annotations

import pytest

from ldyn.data.microworld import MicroworldConfig, load_microworld
from ldyn.models.settings import TinyConfig

SMALL_WORLD = MicroworldConfig(people=20, test_people=5, pairs=20, train_probes=5, test_probes=5, documents=80)


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    return list(load_microworld(SMALL_WORLD, seed=0).corpus)


@pytest.fixture
def tiny_config() -> TinyConfig:
    return TinyConfig(hidden_size=32, layers=2, heads=2, steps=4, batch_size=4, sequence_length=48, warmup_steps=1)
