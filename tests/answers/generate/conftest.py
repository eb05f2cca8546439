"""A run directory as `ldyn train` leaves it, with weights that were never trained: enough to let its stages answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from ldyn.config.loading import config_to_yaml, load_config
from ldyn.config.schema import RunConfig
from ldyn.data.sources import load_data
from ldyn.models.loading import load_base
from ldyn.models.tiny import build_tiny_model
from ldyn.training.checkpoints import save_final

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL = [
    "+exp=smoke", "logger=none", "model.steps=2", "model.warmup_steps=1", "dataset.documents=60", "dataset.pairs=12",
    "dataset.train_probes=4", "dataset.test_probes=3", "samples.max_new_tokens=6",
]  # fmt: skip


@pytest.fixture(scope="session")
def stored_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the stages sft and dpo, of which dpo is not finished."""
    outputs = tmp_path_factory.mktemp("outputs")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        words = [*SMALL, f"paths.outputs={outputs}", f"paths.cache={outputs}/cache", "run=made"]
        config: RunConfig = load_config(compose("train", words))
    return write_run(config, ["sft"])


def write_run(config: RunConfig, finished: list[str]) -> Path:
    """The directory of a run of which some stages are finished."""
    directory = config.paths.run
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(config_to_yaml(config), encoding="utf-8")
    (directory / "manifest.json").write_text(json.dumps({"schema_version": 1, "stages": []}), encoding="utf-8")
    corpus = load_data(config.dataset, config.seed).corpus
    base = load_base(config.model, corpus=corpus, seed=config.seed, cache_dir=config.paths.cache)
    for number, stage in enumerate(finished, start=1):
        model = build_tiny_model(replace(config.model), base.tokenizer, seed=number)
        save_final(model, None, base.tokenizer, directory / "checkpoints" / stage)
    return directory
