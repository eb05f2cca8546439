"""Which probes are scored, how they are encoded, and what is said of a configuration that cannot run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from ldyn.bench.settings import ProbesBenchConfig
from ldyn.bench.workload import lengths, load_model, load_workload
from ldyn.config.groups import config_directory
from ldyn.config.loading import load_bench_config
from ldyn.errors import ConfigError, DataError

SMALL = [
    "model.random_init=true",
    *(f"model.architecture.{name}={n}" for name, n in (("hidden_size", 16), ("intermediate_size", 16))),
    *(f"model.architecture.num_{name}={n}" for name, n in (("hidden_layers", 1), ("attention_heads", 2))),
]


def configured(*overrides: str) -> ProbesBenchConfig:
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        return load_bench_config(compose("bench", [*SMALL, *overrides]))


def test_examples_are_drawn_from_all_splits_by_the_seed(probe_directory: Path) -> None:
    config = configured(f"dataset.path={probe_directory}", "bench.examples=5")
    workload = load_workload(config)
    assert {example.split for example in workload.examples} == {"train", "test"}
    assert (len(workload.examples), workload.n_responses) == (5, 10)  # chosen_selfr is left out
    assert load_workload(config) == workload
    assert load_workload(replace(config, seed=1)) != workload
    assert len(load_workload(configured(f"dataset.path={probe_directory}")).examples) == 8
    assert load_workload(configured(f"dataset.path={probe_directory}", "bench.without=[]")).n_responses == 24


def test_random_weights_come_with_a_vocabulary_of_the_probes_own_words(probe_directory: Path) -> None:
    config = configured(f"dataset.path={probe_directory}")
    workload, model = load_workload(config), load_model(config)
    ids = {token for e in workload.examples for ids in (e.prompt_ids, *e.responses.values()) for token in ids}
    assert max(ids) < model.config.vocab_size == 50_304
    of = lengths(workload.examples)["response"]
    assert 5 <= of["min"] <= of["mean"] <= of["max"] <= 14  # about a token a word, the marks and the end


def test_real_probes_have_the_lengths_that_they_have_in_the_models_own_tokens(shared_directory: Path) -> None:
    """With GPT-NeoX's tokenizer the chosen responses of HH have about 1.3 tokens a word."""
    config = configured(f"dataset.path={shared_directory / 'data' / 'hh_helpful'}", "bench.examples=100")
    of = lengths(load_workload(config).examples)
    assert 40 < of["response"]["mean"] < 75
    assert 80 < of["prompt"]["mean"] < 180


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("bench.examples=0", "bench.examples: found 0, expected greater than 0"),
        ("bench.without=[chosn]", "bench: unknown probes chosn; the probes are chosen"),
        ("bench.device=tpu", "bench.device: found 'tpu', expected 'auto', 'cpu' or 'cuda'"),
        ("model.dtype=float8", "model.dtype: found 'float8', expected"),
        ("dataset.path=nowhere", "dataset.path: found 'nowhere', which does not exist"),
        ("seed=1", "dataset.path: found nothing, expected a value"),
    ],
)
def test_faults_are_said_in_words(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        configured(override, *([] if "path" in override or override == "seed=1" else [f"dataset.path={Path.cwd()}"]))
    [fault] = error.value.faults
    assert fault.startswith(said)


def test_probes_without_a_response_to_score(probe_directory: Path) -> None:
    left_out = "[chosen,rejected,chosen_selfr]"
    with pytest.raises(DataError, match=r"12 probe examples, none with a response outside bench.without"):
        load_workload(configured(f"dataset.path={probe_directory}", f"bench.without={left_out}"))


def test_a_tiny_base_can_be_measured_too(tmp_path: Path) -> None:
    settings: list[Any] = ["model=tiny", "dataset=microworld", "model.steps=1", "dataset.pairs=20", "bench.examples=2"]
    settings += ["dataset.train_probes=5", "dataset.test_probes=5", "dataset.documents=200"]
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = load_bench_config(compose("bench", [*settings, f"cache={tmp_path}"]))
    workload = load_workload(config)
    assert len(workload.examples) == 2
    assert load_model(config).config.hidden_size == config.model.hidden_size
