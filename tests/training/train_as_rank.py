"""One process of two that train together: run by test_stage_processes.py, once for each rank.

    python train_as_rank.py RANK DIR

Reads DIR/task.pt (model, tokenizer, pairs), meets the other by files in DIR, does every task, and writes
DIR/RANK.pt: task -> what it gave, or the error in words.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import distributed
from transformers import TrainerCallback

from ldyn.algorithms import ALGORITHMS, algorithm_parameters
from ldyn.errors import LdynError
from ldyn.models.evaluation import is_sharded
from ldyn.processes.group import main_alone
from ldyn.processes.signals import StopRequest
from ldyn.records import StageInfo
from ldyn.training.plan import StagePlan
from ldyn.training.settings import TrainerConfig
from ldyn.training.stage import train_stage

CONFIG = TrainerConfig(learning_rate=1e-3, max_steps=9, batch_size=4, checkpoint_every=4, num_processes=2)


def plan_for(name: str, config: TrainerConfig) -> StagePlan:
    algorithm = ALGORITHMS[name]
    view = ("chosen",) if algorithm.kind == "pointwise" else ("chosen", "rejected")
    info = StageInfo(name, name, algorithm.kind, view, "base")
    return StagePlan(info, algorithm, algorithm_parameters({"name": name}), config)


class Watch(TrainerCallback):
    """Rows of the log, and at each step whether the model is sharded; one rank gets a signal after ``stop_at``."""

    def __init__(self, rank: int, stop_at: int | None):
        self.rank, self.stop_at, self.stop = rank, stop_at, StopRequest()
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.sharded: list[bool] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.sharded.append(is_sharded(model))

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.sharded.append(is_sharded(model))
        if state.global_step == self.stop_at and self.rank == 1:
            self.stop.signal_number = signal.SIGTERM

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in logs:
            self.rows.append((state.global_step, logs))


class Tasks:
    """What is trained, each time from the same start."""

    def __init__(self, directory: Path, rank: int):
        self.directory, self.rank = directory, rank
        self.task = torch.load(directory / "task.pt", weights_only=False)

    def model(self) -> Any:
        model = self.task["model"]
        copy = type(model)(model.config)
        copy.load_state_dict(model.state_dict())
        return copy

    def train(self, name: str, where: str, model: Any = None, stop_at: int | None = None, **settings: Any) -> Any:
        """Log rows, whether the model was sharded at each step, and the directory of the final weights."""
        watch = Watch(self.rank, stop_at)
        pairs = settings.pop("pairs", self.task["pairs"])
        final = train_stage(
            plan_for(name, dataclasses.replace(CONFIG, **settings)),
            model or self.model(),
            self.task["tokenizer"],
            pairs,
            directory=self.directory / where,
            seed=0,
            stop=watch.stop,
            callbacks=[watch],
        )
        return {"rows": watch.rows, "sharded": watch.sharded, "final": str(final)}

    def one_bad_row(self) -> Any:
        """A token that occurs in one pair only has no finite embedding: the loss is NaN in one process."""
        model, own = self.model(), self.task["model"].config.vocab_size - 1
        pairs = [dataclasses.replace(pair, prompt_ids=(2,), chosen_ids=(3, 0)) for pair in self.task["pairs"]]
        pairs[0] = dataclasses.replace(pairs[0], prompt_ids=(own,))
        with torch.no_grad():
            model.gpt_neox.embed_in.weight[own] = torch.nan
        return self.train("sft", "bad", model, pairs=pairs)


def attempt(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except LdynError as error:
        return f"{type(error).__name__}: {error}"


def shard_on_cpu() -> None:
    """Let accelerate shard weights over CPU processes, which it would otherwise quietly not do."""
    original = AcceleratorState.__init__

    def init(self: AcceleratorState, *arguments: Any, **options: Any) -> None:
        state = PartialState._shared_state
        if options.get("fsdp_plugin") is not None and state.get("distributed_type") == DistributedType.MULTI_CPU:
            state["distributed_type"] = DistributedType.MULTI_XPU
        original(self, *arguments, **options)

    AcceleratorState.__init__ = init


def run(tasks: Tasks) -> dict[str, Any]:
    """Everything that two processes do together; weights are sharded in the last tasks only."""
    results = {
        "sft": attempt(lambda: tasks.train("sft", "sft")),
        "sft_token_mean": attempt(lambda: tasks.train("sft_token_mean", "sft_token_mean", gradient_accumulation=2)),
        "dpo": attempt(lambda: tasks.train("dpo", "dpo")),
        "parts dpo": attempt(lambda: tasks.train("dpo", "parts_dpo", token_budget=20)),
        "dpo stopped": attempt(lambda: tasks.train("dpo", "dpo_again", stop_at=5)),
        "dpo again": attempt(lambda: tasks.train("dpo", "dpo_again")),
        "one bad row": attempt(tasks.one_bad_row),
        "fsdp, not sharded": attempt(lambda: tasks.train("sft", "not_sharded", parallel="fsdp")),
    }
    shard_on_cpu()
    return results | {
        "fsdp sft": attempt(lambda: tasks.train("sft", "fsdp_sft", parallel="fsdp")),
        "fsdp parts sft": attempt(lambda: tasks.train("sft", "fsdp_parts_sft", parallel="fsdp", token_budget=20)),
        "fsdp dpo stopped": attempt(lambda: tasks.train("dpo", "fsdp_dpo", parallel="fsdp", stop_at=5)),
        "fsdp dpo again": attempt(lambda: tasks.train("dpo", "fsdp_dpo", parallel="fsdp")),
    }


def main(rank: int, directory: Path) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    distributed.init_process_group(
        "gloo", init_method=f"file://{directory}/meeting", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    tasks = Tasks(directory, rank)
    results = run(tasks)
    with main_alone() as is_main:
        results["main alone"] = tasks.train("dpo", "main_alone", num_processes=1) if is_main else None
    torch.save(results, directory / f"{rank}.pt")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
