"""LoRA by peft: low-rank adapters on frozen weights, and merging them into the weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from ldyn.errors import ModelError
from ldyn.training.settings import LoraConfig


def with_adapters(model: PreTrainedModel, config: LoraConfig) -> PreTrainedModel:
    """The model with fresh adapters, which change nothing yet (B = 0); all other weights are frozen.

    Raises ModelError where the modules to adapt are not in the model, or must be named because peft knows no default.
    """
    import peft  # takes a second

    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=list(config.target_modules) if config.target_modules else None,
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is going away
            return cast("PreTrainedModel", peft.get_peft_model(model, settings))
    except ValueError as error:
        linear = (name for name, module in model.named_modules() if isinstance(module, nn.Linear))
        raise ModelError(
            f"trainer.lora.target_modules: {error} Expected names of linear layers of a {model.config.model_type}: "
            f"{', '.join(sorted({name.rpartition('.')[2] for name in linear}))}."
        ) from error


def with_stored_adapters(model: PreTrainedModel, checkpoint: Path) -> PreTrainedModel:
    import peft

    return cast("PreTrainedModel", peft.PeftModel.from_pretrained(model, str(checkpoint)))


def has_adapters(model: nn.Module) -> bool:
    """Whether ``with_adapters`` made the model."""
    return hasattr(model, "merge_and_unload")


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """The model with its adapters added to its weights (W + alpha / rank · B A), in place; itself if it has none."""
    return cast("Any", model).merge_and_unload() if has_adapters(model) else model
