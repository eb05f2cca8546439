"""How a stage is trained: optimiser, schedule, batch, checkpoints. No torch here, so that configs validate quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from ldyn.probes.schedule import ScheduleConfig


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters: W + alpha / rank · B A, with A and B trained and W frozen (Hu et al. 2021, arXiv 2106.09685).

    ``target_modules``: names of the linear layers that get adapters; None leaves the choice to peft (the layers that
    make queries and values, or all three at once where one layer makes them).
    """

    rank: Annotated[int, Gt(0)] = 16
    alpha: Annotated[int, Gt(0)] = 32
    target_modules: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TrainerConfig:
    """Settings of one stage. A stage overrides single fields; the rest come from the experiment's ``trainer`` group.

    Length: ``max_steps`` optimiser steps, or ``epochs`` passes over the stage's examples; give exactly one of them.
    Learning rate: ``warmup_steps`` linear steps up, then constant, as in the paper.
    ``batch_size`` examples (pairs, for a pairwise loss) make one update, whoever computes them: they are divided over
    the processes, and each process takes its share in ``gradient_accumulation`` parts, one after the other.
    ``batching``: packed puts both responses of a pair behind one prompt and the examples of a batch into rows without
    padding; padded gives each response a row, padded to the longest. Same losses up to rounding; a model whose
    attention takes no mask of its own for each row is always padded. ``token_budget``: tokens of one packed forward
    pass; a larger batch is computed in parts. auto: 2,048 on a CPU, 8,192 on a GPU.
    ``checkpoint_every`` steps a resumable checkpoint is written; ``log_every`` steps a row of the train log.
    ``lora``: train low-rank adapters and keep the weights frozen; merged into the weights at the end of the stage.
    ``num_processes``: None means as many as a launcher has started, one where there is none. ``parallel``: whether each
    of several processes holds all weights (ddp) or its share of them (fsdp). Both are the same for all stages of a run.
    ``snapshots``: when weights and optimizer state are kept for good, so that `ldyn decompose` can take the very steps
    that the stage took, and answers be compared at those moments; null keeps none. Each takes a checkpoint's disk space
    (with AdamW three times the weights).
    """

    optimizer: Literal["adamw", "rmsprop", "sgd"] = "adamw"
    learning_rate: Annotated[float, Gt(0)] = 1e-5
    max_steps: Annotated[int, Gt(0)] | None = None
    epochs: Annotated[float, Gt(0)] | None = None
    batch_size: Annotated[int, Gt(0)] = 8
    gradient_accumulation: Annotated[int, Gt(0)] = 1
    batching: Literal["packed", "padded"] = "packed"
    token_budget: Annotated[int, Gt(0)] | Literal["auto"] = "auto"
    warmup_steps: Annotated[int, Ge(0)] = 0
    max_grad_norm: Annotated[float, Gt(0)] = 1.0
    weight_decay: Annotated[float, Ge(0)] = 0.0
    precision: Literal["fp32", "bf16"] = "fp32"
    gradient_checkpointing: bool = False
    lora: LoraConfig | None = None
    checkpoint_every: Annotated[int, Gt(0)] = 100
    log_every: Annotated[int, Gt(0)] = 1
    num_processes: Annotated[int, Gt(0)] | None = None
    parallel: Literal["ddp", "fsdp"] = "ddp"

    @property
    def micro_batch(self) -> int:
        """Examples that one process takes at a time."""
        return self.batch_size // self._parts

    @property
    def _parts(self) -> int:
        return (self.num_processes or 1) * self.gradient_accumulation

    snapshots: ScheduleConfig | None = None

    def faults(self) -> list[str]:
        faults = []
        if (self.max_steps is None) == (self.epochs is None):
            found = f"found max_steps={self.max_steps} and epochs={self.epochs}"
            faults.append(f"max_steps, epochs: {found}, expected exactly one of them; set the other to null")
        if self.lora and self.parallel == "fsdp":
            faults.append("lora: found adapters with parallel=fsdp, expected parallel=ddp, or lora=null")
        if self.batch_size % self._parts:
            divided = f"num_processes={self.num_processes or 1} x gradient_accumulation={self.gradient_accumulation}"
            faults.append(f"batch_size: found {self.batch_size}, expected a multiple of {divided} = {self._parts}")
        return faults
