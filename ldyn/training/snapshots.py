"""A snapshot as a model that can be asked: what a stage's weights were after so many updates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from transformers import AutoModelForCausalLM, PreTrainedModel

from ldyn.models.base import BaseModel
from ldyn.training.adapters import merged, with_stored_adapters
from ldyn.training.checkpoints import snapshot_directory, start_weights
from ldyn.training.stage import StagePlan


def snapshot_weights(
    plan: StagePlan, step: int, base: BaseModel, stage_directory: Callable[[str], Path]
) -> PreTrainedModel:
    """A model of its own with the weights of the stage after ``step`` updates, of which it has kept a snapshot.

    A snapshot of adapters holds these alone; they are laid on the weights that the stage started from.
    """
    directory = snapshot_directory(stage_directory(plan.info.name), step)
    if plan.trainer.lora is None:
        return AutoModelForCausalLM.from_pretrained(directory, dtype=base.model.dtype)
    return merged(with_stored_adapters(start_weights(plan.info.start, base, stage_directory), directory))
