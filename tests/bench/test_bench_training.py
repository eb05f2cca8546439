"""`ldyn bench train`: the methods make the same updates, and the figures are ratios of medians."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from ldyn.bench.settings import TrainBenchConfig
from ldyn.bench.training import ReadyTrainer, TrainedOnce, TrainingMeasurements, TrainingTask
from ldyn.bench.training_methods import TRAINING_METHODS
from ldyn.bench.training_table import training_notes, training_object, training_table
from ldyn.cli.main import main
from ldyn.config.groups import config_directory
from ldyn.config.loading import load_train_bench_config
from ldyn.errors import ConfigError

SMALL = [
    *("model.hidden_size=16", "model.layers=1", "model.heads=2", "model.steps=2", "model.warmup_steps=1"),
    *("dataset.people=30", "dataset.test_people=8", "dataset.pairs=20", "dataset.train_probes=4"),
    *("dataset.test_probes=4", "dataset.documents=200", "bench.steps=3", "bench.warm_up=1", "bench.threads=1"),
]


def config(cache: Path, *overrides: str) -> TrainBenchConfig:
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        return load_train_bench_config(compose("bench_train", [*SMALL, f"cache={cache}", *overrides]))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("algorithm", TRAINING_METHODS)
def test_all_methods_make_the_same_updates(algorithm: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 pairs in batches of 8: the third update has the four rows that are left."""
    monkeypatch.setenv("TQDM_DISABLE", "1")  # as the task would, but for this test only
    settings = config(cache, f"algorithm={algorithm}")
    tasks = {name: TrainingTask(settings, name) for name in TRAINING_METHODS[algorithm]}
    for _ in range(2):  # the second time each goes on from where it was
        done = {name: task() for name, task in tasks.items()}
        assert all(len(one.seconds) == 2 for one in done.values())  # of four steps one warms up, and one begins
        losses = [one.loss for one in done.values()]
        assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-4)
    assert {task.ready.n_parameters for task in tasks.values()} == {tasks["ours"].ready.n_parameters}
    assert tasks["ours"].ready.pairs == 20


@pytest.fixture
def measured(cache: Path) -> TrainingMeasurements:
    """TRL takes 4, 4 and 10 s, ours 3, 1 and 3 s: medians 4 and 3."""
    ready = ReadyTrainer((1.0, 0.5), 1_000_000, "cpu", 1, pairs=20, tokens=30.0)
    runs = {
        "trl": [TrainedOnce((4.0, 10.0), 0.75), TrainedOnce((4.0,), 0.5)],
        "ours": [TrainedOnce((3.0, 1.0), 0.75), TrainedOnce((3.0,), 0.4)],
    }
    return TrainingMeasurements(config(cache, "algorithm=sft_token_mean"), {"trl": ready, "ours": ready}, runs)


def test_figures_by_hand(measured: TrainingMeasurements) -> None:
    figures = json.loads(json.dumps(training_object(measured)))
    assert figures["time_vs_trl"] == 3 / 4
    assert figures["max_relative_loss_difference"] == pytest.approx(0.2)
    assert figures["methods"]["trl"]["seconds_per_step"] == 4.0
    assert figures["methods"]["ours"]["steps"] == 3
    assert figures["batch_size"] == 8


def test_the_table_has_a_row_for_each_method(measured: TrainingMeasurements) -> None:
    assert training_table(measured).row_count == 2
    assert any("1.00 M parameters" in note for note in training_notes(measured))


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["algorithm=sft"], "algorithm.name: found 'sft'; expected one of dpo, sft_token_mean: TRL has"),
        (["trainer.num_processes=2"], "trainer.num_processes: found 2, expected 1"),
        (["trainer.gradient_accumulation=3"], "trainer.batch_size: found 8, expected a multiple"),
        (["algorithm.beta=-1"], "algorithm.beta: found -1"),
        (["trainer.log_every=5"], "trainer.log_every: found 5, expected at most 4, the steps of one turn"),
        (["bench.steps=0"], "bench.steps: found 0, expected greater than 0"),
    ],
)
def test_what_cannot_be_timed_is_said_in_words(overrides: list[str], fault: str, cache: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config(cache, *overrides)
    assert caught.value.faults[0].startswith(fault)


def test_settings_are_shown_without_measuring(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--cfg", "job", "train", "algorithm=sft_token_mean", "bench.steps=7"]) == 0
    shown = capsys.readouterr().out
    assert "steps: 7" in shown
    assert "name: sft_token_mean" in shown
