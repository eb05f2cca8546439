"""A stage's settings as arguments of TRL's trainer, and dropout turned off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from trl.trainer.utils import disable_dropout_in_model

from ldyn.training.settings import TrainerConfig

OPTIMIZERS = {"adamw": "adamw_torch", "rmsprop": "rmsprop", "sgd": "sgd"}


def common_arguments(config: TrainerConfig, output_dir: Path, seed: int) -> dict[str, Any]:
    """The arguments of TRL's SFTConfig; its defaults (bf16, checkpointing, trackers) are replaced."""
    fsdp_config = {"activation_checkpointing": config.gradient_checkpointing}
    return {
        "output_dir": str(output_dir),
        "optim": OPTIMIZERS[config.optimizer],
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": config.warmup_steps,
        "max_steps": config.max_steps or -1,
        "num_train_epochs": config.epochs or 1,
        "per_device_train_batch_size": config.micro_batch,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "max_grad_norm": config.max_grad_norm,
        "weight_decay": config.weight_decay,
        "bf16": config.precision == "bf16",
        "use_cpu": not torch.cuda.is_available(),
        "seed": seed,
        "save_strategy": "steps",
        "save_steps": config.checkpoint_every,
        "save_total_limit": 2,
        "logging_steps": config.log_every,
        "logging_nan_inf_filter": False,  # a loss that is not finite must be seen, not averaged away
        "report_to": "none",
        "disable_tqdm": True,
        "log_level": "error",  # its warning of a lost head at each resume is answered by ``_load_from_checkpoint``
        "ddp_find_unused_parameters": False,
        "remove_unused_columns": False,  # the rows have what is needed and nothing else
        "max_length": None,
        # FSDP has its own activation checkpointing.
        "activation_checkpointing": config.gradient_checkpointing and config.parallel == "ddp",
        **({} if config.parallel == "ddp" else {"fsdp": True, "fsdp_config": fsdp_config}),
    }


def disable_dropout(model: nn.Module) -> None:
    """Set every dropout probability to 0: of ``nn.Dropout``, and those that modules keep for functional dropout."""
    disable_dropout_in_model(model)
    for module in model.modules():
        for name, value in vars(module).items():
            if ("drop" in name or "jitter" in name) and isinstance(value, float):
                setattr(module, name, 0.0)
