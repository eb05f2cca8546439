"""How much memory a training needs, compared with what the machine has, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ldyn.errors import ModelError
from ldyn.models.settings import PretrainedConfig
from ldyn.training.settings import TrainerConfig

STATE_PER_WEIGHT = {"adamw": 2, "rmsprop": 1, "sgd": 0}  # numbers that the optimizer keeps
FLOAT32 = 4  # bytes


def needed_bytes(
    parameters: int, vocabulary: int, trainer: TrainerConfig, tokens: int, *, copies: int
) -> dict[str, int]:
    """Bytes of a process by what they are for. copies: of the weights. LoRA has no gradients of the weights.

    Logits: of ``tokens`` in one forward pass, with their gradient.
    """
    trained = 0 if trainer.lora else parameters
    return {
        "weights": copies * parameters * FLOAT32,
        "gradients": trained * FLOAT32,
        "optimizer": STATE_PER_WEIGHT[trainer.optimizer] * trained * FLOAT32,
        "logits": 2 * tokens * vocabulary * FLOAT32,
    }


def check_memory(model: PretrainedConfig, trainer: TrainerConfig, tokens: int) -> None:
    """Raise ModelError where the training cannot fit, with the sizes; a model of unknown size passes.

    On a CPU the base stays in memory beside the stage's model; with FSDP each process has a share.
    """
    size = model_size(model)
    if size is None or trainer.parallel == "fsdp":
        return
    on_gpu = torch.cuda.is_available()
    room = torch.cuda.get_device_properties(0).total_memory if on_gpu else psutil.virtual_memory().total
    processes = 1 if on_gpu else trainer.num_processes or 1
    needed = needed_bytes(*size, trainer, tokens, copies=1 if on_gpu else 2)
    total = processes * sum(needed.values())
    if total > room:
        parts = ", ".join(f"{name} {count / 2**30:.1f}" for name, count in needed.items())
        each = f" in each of {processes} processes" if processes > 1 else ""
        raise ModelError(
            f"Training {model.name_or_path} needs about {total / 2**30:.1f} GiB ({parts}{each}), but "
            f"{'the GPU' if on_gpu else 'this machine'} has {room / 2**30:.1f} GiB. Use a smaller model, "
            "trainer.optimizer=rmsprop, trainer=lora or a smaller trainer.token_budget."
        )


def model_size(model: PretrainedConfig) -> tuple[int, int] | None:
    """Parameters and vocabulary of a model, from its config.json alone; None where there is none at hand."""
    if model.gguf_file is not None or model.random_init:
        return None
    try:
        config = AutoConfig.from_pretrained(str(Path(model.name_or_path).expanduser()), revision=model.revision)
        with torch.device("meta"):
            shapes = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, ImportError, KeyError, TypeError):
        return None  # loading the model reports the error
    return shapes.num_parameters(), int(config.get_text_config().vocab_size)
