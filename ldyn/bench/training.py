"""The time of a training step: every method in a process of its own, some steps at a time, in turns."""

from __future__ import annotations

import copy
import os
import tempfile
import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers
from datasets import disable_progress_bars
from transformers import TrainerCallback, TrainerControl, TrainerState

from ldyn.bench.measure import Turns
from ldyn.bench.processes import RemoteTask
from ldyn.bench.settings import TrainBenchConfig
from ldyn.bench.tasks import synchronise
from ldyn.bench.training_methods import TRAINING_METHODS, TrainingSetup, made
from ldyn.data.encoder import Encoder
from ldyn.data.sources import load_data
from ldyn.models.loading import load_base


@dataclass(frozen=True, slots=True)
class ReadyTrainer:
    """What came before the first step, and what is trained.

    setup_seconds: making the trainer for the first time, and once more (ours then finds its reference log-probs in the
    cache). tokens: mean length of a row, in tokens.
    """

    setup_seconds: tuple[float, float]
    n_parameters: int
    device: str
    threads: int
    pairs: int
    tokens: float


@dataclass(frozen=True, slots=True)
class TrainedOnce:
    """Seconds of each step of one repetition, and the last loss."""

    seconds: tuple[float, ...]
    loss: float


class TrainingTask:
    """Trains some steps whenever it is called, by one method; the model goes on from where it was."""

    def __init__(self, config: TrainBenchConfig, name: str):
        if config.bench.threads is not None:
            torch.set_num_threads(config.bench.threads)
        _silence()
        self._directory = tempfile.TemporaryDirectory(prefix="ldyn-bench-")
        self._setup = _load(config, Path(self._directory.name))
        method = TRAINING_METHODS[str(config.algorithm["name"])][name]
        seconds = []
        for _ in range(2):
            model = copy.deepcopy(self._setup.model)  # TRL puts a head of its own onto it
            started = time.perf_counter()
            self._trainer = made(method, replace(self._setup, model=model))
            seconds.append(time.perf_counter() - started)
        self._setup_seconds = (seconds[0], seconds[1])
        self._times = StepTimes(self._trainer.args.device)
        self._trainer.add_callback(self._times)

    @property
    def ready(self) -> ReadyTrainer:
        pairs = self._setup.pairs
        rows = [len(pair.prompt_ids) + len(ids) for pair in pairs for ids in (pair.chosen_ids, pair.rejected_ids)]
        device = self._trainer.args.device
        return ReadyTrainer(
            setup_seconds=self._setup_seconds,
            n_parameters=self._setup.model.num_parameters(),
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            threads=torch.get_num_threads(),
            pairs=len(pairs),
            tokens=sum(rows) / len(rows),
        )

    def __call__(self) -> TrainedOnce:
        self._times.ends.clear()
        self._trainer.train()
        ends = self._times.ends[self._setup.config.bench.warm_up :]
        steps = tuple(after - before for before, after in pairwise(ends))
        losses = [row["loss"] for row in self._trainer.state.log_history if "loss" in row]
        return TrainedOnce(steps, losses[-1])


class StepTimes(TrainerCallback):
    """When each step ended; from one end to the next is a step with all that belongs to it: rows, update, log."""

    def __init__(self, device: torch.device):
        self._device = device
        self.ends: list[float] = []

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        synchronise(self._device)
        self.ends.append(time.perf_counter())


@dataclass(frozen=True)
class TrainingMeasurements:
    """By method: what came before, and every repetition."""

    config: TrainBenchConfig
    ready: Mapping[str, ReadyTrainer]
    runs: Mapping[str, list[TrainedOnce]]

    def seconds(self, name: str) -> float:
        """The median over all steps of all repetitions."""
        return median(step for run in self.runs[name] for step in run.seconds)


def measure_training(config: TrainBenchConfig) -> TrainingMeasurements:
    """Make every method's trainer, then let the methods take turns."""
    methods = TRAINING_METHODS[str(config.algorithm["name"])]
    waits = len(methods) * (1 + config.bench.repetitions)
    with ExitStack() as processes, Turns(waits) as turns:
        tasks = {name: processes.enter_context(RemoteTask(name, TrainingTask, config, name)) for name in methods}
        ready = {name: turns.wait(f"making {methods[name].label}", task.ready) for name, task in tasks.items()}
        runs: dict[str, list[TrainedOnce]] = {name: [] for name in methods}
        for _ in range(config.bench.repetitions):
            for name, task in tasks.items():
                runs[name].append(turns.wait(methods[name].label, task))
    return TrainingMeasurements(config, ready, runs)


def _silence() -> None:
    """No progress bars and warnings of the libraries between ours; in a process of its own."""
    transformers.utils.logging.disable_progress_bar()
    disable_progress_bars()
    os.environ["TQDM_DISABLE"] = "1"
    warnings.simplefilter("ignore", FutureWarning)


def _load(config: TrainBenchConfig, directory: Path) -> TrainingSetup:
    data = load_data(config.dataset, config.seed)
    base = load_base(config.model, corpus=data.corpus, seed=config.seed, cache_dir=config.cache)
    pairs = Encoder(base.tokenizer, config.dataset.encoding).pairs(data.pairs)
    return TrainingSetup(config, base.model, base.tokenizer, pairs, directory)
