"""The files of a stage: ``checkpoint-<step>`` to resume from, ``snapshot-<step>`` to keep, ``final`` at its end."""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainerControl, TrainerState

from ldyn.errors import RunDirectoryError, TrainingError
from ldyn.models.base import BaseModel
from ldyn.models.cache import find_damage
from ldyn.models.evaluation import is_sharded
from ldyn.models.pretrained import load_weights
from ldyn.processes.group import highest_of_all, in_main
from ldyn.processes.signals import StopRequest
from ldyn.store.files import explained
from ldyn.training.adapters import merged, with_stored_adapters
from ldyn.training.plan import StagePlan

_log = logging.getLogger(__name__)


def last_complete_checkpoint(stage_directory: Path) -> tuple[Path, int] | None:
    """The newest intact checkpoint, and its step; None where there is none. Damaged ones are logged and skipped."""
    for step, directory in _numbered_checkpoints(stage_directory):
        damage = find_damage(directory)
        if damage is None and step_of(directory) == step:
            return directory, step
        _log.warning("The checkpoint %s is not used: %s.", directory, damage or "it is of another step")
    return None


def drop_checkpoints_after(stage_directory: Path, step: int) -> None:
    """Delete the checkpoints after ``step``: they are damaged or incomplete."""
    for other, directory in _numbered_checkpoints(stage_directory):
        if other > step:
            shutil.rmtree(directory)


def _numbered_checkpoints(stage_directory: Path, prefix: str = "checkpoint-") -> list[tuple[int, Path]]:
    found = {path.name.removeprefix(prefix): path for path in stage_directory.glob(f"{prefix}*")}
    return sorted(((int(step), path) for step, path in found.items() if step.isdecimal()), reverse=True)


def step_of(checkpoint: Path) -> int | None:
    """The step of a checkpoint or snapshot; None where it has no readable ``trainer_state.json``."""
    try:
        return int(json.loads((checkpoint / "trainer_state.json").read_text())["global_step"])
    except (OSError, ValueError, KeyError):
        return None


def keep_snapshot(stage_directory: Path, step: int) -> None:
    """Keep the checkpoint of ``step``, by hard links to its files, or copies where the file system has none."""
    target = snapshot_directory(stage_directory, step)
    partial = target.with_suffix(".partial")
    for leftover in (partial, target):  # of a run that was killed here
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(stage_directory / f"checkpoint-{step}", partial, copy_function=_link_or_copy)
    partial.rename(target)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def snapshot_directory(stage_directory: Path, step: int) -> Path:
    return stage_directory / f"snapshot-{step}"


def snapshot_steps(stage_directory: Path) -> list[int]:
    """The steps of which a stage has kept a snapshot, ascending."""
    return [step for step, _ in reversed(_numbered_checkpoints(stage_directory, "snapshot-"))]


def final_directory(stage_directory: Path) -> Path:
    """The path of a finished stage's weights; it exists only once they are complete."""
    return stage_directory / "final"


def save_final(
    model: PreTrainedModel, weights: dict[str, Tensor] | None, tokenizer: PreTrainedTokenizerBase, stage_directory: Path
) -> Path:
    """Save the stage's last weights; then delete its checkpoints.

    ``weights``: those of ``model`` by name, where the model itself holds only a part of them.
    """
    with _final_written(stage_directory) as partial:
        model.save_pretrained(partial, state_dict=weights)
        tokenizer.save_pretrained(partial)
    for directory in stage_directory.glob("checkpoint-*"):
        shutil.rmtree(directory)
    return final_directory(stage_directory)


def adopt_final(final: Path, stage_directory: Path) -> None:
    """Use the last weights of another run's stage, by hard links to its files."""
    with _final_written(stage_directory) as partial:
        shutil.copytree(final, partial, copy_function=_link_or_copy)


@contextmanager
def _final_written(stage_directory: Path) -> Iterator[Path]:
    partial = final_directory(stage_directory).with_suffix(".partial")
    with checkpoint_written(partial):
        shutil.rmtree(partial, ignore_errors=True)
        yield partial
        partial.rename(final_directory(stage_directory))


@contextmanager
def checkpoint_written(directory: Path) -> Iterator[None]:
    """Turn every error of writing ``directory`` into a RunDirectoryError."""
    try:
        with explained(directory):
            yield
    except (SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" not in str(error):
            raise
        free = shutil.disk_usage(next(parent for parent in directory.parents if parent.exists())).free // 2**20
        raise RunDirectoryError(
            f"Cannot write weights to {directory} ({free} MiB are free): {str(error).splitlines()[0]}. Free some "
            "space, then continue with resume=RUN_DIRECTORY: what was scored before is stored there."
        ) from error


def start_weights(stage: str, base: BaseModel, stage_directory: Callable[[str], Path]) -> PreTrainedModel:
    """A separate model with the last weights of ``stage``, or of the base ("base")."""
    if stage == "base":
        return copy.deepcopy(base.model)
    return load_weights(final_directory(stage_directory(stage)), dtype=base.model.dtype)


def snapshot_weights(
    plan: StagePlan, step: int, base: BaseModel, stage_directory: Callable[[str], Path]
) -> PreTrainedModel:
    """A separate model with the weights of the stage's snapshot after ``step`` updates.

    A snapshot of adapters holds only these; they are added to the weights that the stage started from.
    """
    directory = snapshot_directory(stage_directory(plan.info.name), step)
    if plan.trainer.lora is None:
        return load_weights(directory, dtype=base.model.dtype)
    return merged(with_stored_adapters(start_weights(plan.info.start, base, stage_directory), directory))


class CheckpointCallback(TrainerCallback):
    """Keeps snapshots, and turns a stop request into a checkpoint. The last callback, so it decides on every save."""

    def __init__(self, snapshot_steps: Sequence[int], stop: StopRequest, before_saving: Callable[[], None]):
        self.snapshot_steps, self.stop, self.before_saving = snapshot_steps, stop, before_saving

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        if args.fsdp and not is_sharded(model):
            raise TrainingError(
                "trainer.parallel=fsdp: the weights are not sharded, as accelerate uses DDP on this device. Use "
                "trainer.parallel=ddp."
            )
        if not snapshot_directory(Path(args.output_dir), state.global_step).exists():
            self.on_save(args, state, control)  # the run may have been killed between checkpoint and snapshot

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step in self.snapshot_steps:
            control.should_save = True
        if self.stop.agree_on(highest_of_all(self.stop.weight, args.device)):  # all stop after the same step
            control.should_save = True
            control.should_training_stop = True
        self.on_log(args, state, control)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """The Trainer ends a step, logs, then saves."""
        if control.should_save:
            self.before_saving()

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step in self.snapshot_steps:
            in_main(lambda: keep_snapshot(Path(args.output_dir), state.global_step))
