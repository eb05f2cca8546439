"""`ldyn bench train`: the methods make the same updates, and the figures are ratios of medians."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ldyn.bench.settings import BenchConfig
from ldyn.bench.training import TRAINING_METHODS, TrainingTask, summarise
from ldyn.cli.bench import TIMED_ALGORITHMS, load_bench_config
from ldyn.cli.hydra_jobs import composed_settings
from ldyn.errors import ConfigError

SMALL = [
    *("model.hidden_size=16", "model.layers=1", "model.heads=2", "model.steps=2", "model.warmup_steps=1"),
    *("dataset.people=30", "dataset.test_people=8", "dataset.pairs=20", "dataset.train_probes=4"),
    *("dataset.test_probes=4", "dataset.documents=200", "bench.steps=3", "bench.warm_up=1", "bench.threads=1"),
]


def config(cache: Path, *overrides: str) -> BenchConfig:
    return load_bench_config(composed_settings("bench_train", [*SMALL, f"cache={cache}", *overrides]))


@pytest.mark.parametrize("algorithm", TIMED_ALGORITHMS)
def test_all_methods_make_the_same_updates(algorithm: str, tmp_path: Path) -> None:
    """20 pairs in batches of 8: the third update has the four rows that remain."""
    settings = config(tmp_path, f"algorithm={algorithm}")
    tasks = {name: TrainingTask(settings, name) for name in TRAINING_METHODS[algorithm]}
    for _ in range(2):  # the second time each continues from where it was
        done = [task() for task in tasks.values()]
        assert all(len(seconds) == 2 for seconds, *_ in done)  # of four steps one warms up, and one begins
        losses = [loss for _, loss, _ in done]
        assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-4)
    assert {task.ready["parameters"] for task in tasks.values()} == {tasks["ours"].ready["parameters"]}
    assert tasks["ours"].ready["pairs"] == 20
    computed = dict(zip(tasks, (tokens for *_, tokens in done), strict=True))
    assert tasks["ours"].ready["tokens_needed"] * 0.8 < computed["ours"] <= computed["padded"] <= computed["trl"] * 1.01


def test_figures_by_hand() -> None:
    """TRL takes 4, 4 and 10 s, ours 3, 1 and 3 s: medians 4 and 3."""
    turns = {
        "trl": [([4.0, 10.0], 0.75, 90.0), ([4.0], 0.5, 90.0)],
        "ours": [([3.0, 1.0], 0.75, 40.0), ([3.0], 0.4, 40.0)],
    }
    figures = json.loads(json.dumps(summarise({"trl": 1.0, "ours": 0.5}, turns, seconds_per_token=0.03)))
    assert figures["time_vs_trl"] == 3 / 4
    assert figures["max_relative_loss_difference"] == pytest.approx(0.2)
    assert figures["methods"]["trl"]["seconds_per_step"] == 4.0
    assert figures["methods"]["ours"]["tokens_computed"] == 40.0
    assert figures["methods"]["ours"]["matmul_share"] == pytest.approx(0.03 * 40 / 3)


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["algorithm=sft"], "algorithm.name: found 'sft'; expected one of dpo, sft_token_mean: TRL has"),
        (["trainer.num_processes=2"], "trainer.num_processes: found 2, expected 1"),
        (["trainer.gradient_accumulation=3"], "trainer.batch_size: found 8, expected a multiple"),
        (["algorithm.beta=-1"], "algorithm.beta: found -1"),
        (["bench.steps=0"], "bench.steps: found 0, expected greater than 0"),
    ],
)
def test_invalid_settings(overrides: list[str], fault: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, *overrides)
    assert caught.value.faults[0].startswith(fault)
