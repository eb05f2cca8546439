"""The files of a stage: ``checkpoint-<step>`` to resume from, ``snapshot-<step>`` to keep, ``final`` when it is done.

``stage.json`` beside them says what the checkpoints belong to; it is compared when a stage is resumed.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from ldyn.errors import RunDirectoryError, TrainingError
from ldyn.models.base import BaseModel
from ldyn.records import EncodedPair
from ldyn.store.files import explained, write_atomically
from ldyn.training.adapters import merged, with_stored_adapters

if TYPE_CHECKING:
    from ldyn.training.stage import StagePlan


def last_complete_checkpoint(stage_directory: Path) -> tuple[Path, int] | None:
    """The newest checkpoint that was written to its end, and its step; None where there is none."""
    steps = [(step_of(directory), directory) for directory in stage_directory.glob("checkpoint-*")]
    complete = [(step, directory) for step, directory in steps if step is not None]
    if not complete:
        return None
    step, directory = max(complete)
    return directory, step


def step_of(checkpoint: Path) -> int | None:
    """The step of a checkpoint or snapshot that was written to its end, else None.

    ``trainer_state.json`` is the last file that the Trainer writes, so a checkpoint in which it parses is complete.
    """
    try:
        return int(json.loads((checkpoint / "trainer_state.json").read_text())["global_step"])
    except (OSError, ValueError, KeyError):
        return None


def keep_snapshot(checkpoint: Path, step: int) -> None:
    """Keep a checkpoint for good: a second name for each of its files, or a copy where the file system has no links."""
    target = snapshot_directory(checkpoint.parent, step)
    partial = target.with_suffix(".partial")
    for leftover in (partial, target):  # of a run that was killed here, and went on from an earlier checkpoint
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(checkpoint, partial, copy_function=_link_or_copy)
    partial.rename(target)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def snapshot_directory(stage_directory: Path, step: int) -> Path:
    """Where the snapshot after ``step`` updates is, or would be."""
    return stage_directory / f"snapshot-{step}"


def snapshot_steps(stage_directory: Path) -> list[int]:
    """The steps of which a stage has kept a snapshot, ascending."""
    names = (directory.name.removeprefix("snapshot-") for directory in stage_directory.glob("snapshot-*"))
    return sorted(int(name) for name in names if name.isdecimal())


def final_directory(stage_directory: Path) -> Path:
    """Where a finished stage's weights lie; the directory exists only once they are complete."""
    return stage_directory / "final"


def save_final(
    model: PreTrainedModel,
    weights: dict[str, Tensor] | None,
    tokenizer: PreTrainedTokenizerBase,
    stage_directory: Path,
) -> Path:
    """Save the stage's last weights, published by a rename; then drop the checkpoints that are no longer needed.

    ``weights``: those of ``model`` by name, where the model itself holds only a part of them.
    """
    target = final_directory(stage_directory)
    partial = target.with_suffix(".partial")
    with checkpoint_written(partial):
        shutil.rmtree(partial, ignore_errors=True)
        model.save_pretrained(partial, state_dict=weights)
        tokenizer.save_pretrained(partial)
        partial.rename(target)
    for directory in stage_directory.glob("checkpoint-*"):
        shutil.rmtree(directory)
    return target


def adopt_final(final: Path, stage_directory: Path) -> None:
    """Take over the last weights of another run's stage: a second name for its files, published by a rename."""
    target = final_directory(stage_directory)
    partial = target.with_suffix(".partial")
    with checkpoint_written(partial):
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(final, partial, copy_function=_link_or_copy)
        partial.rename(target)


@contextmanager
def checkpoint_written(directory: Path) -> Iterator[None]:
    """Turn whatever says that ``directory`` cannot be written into a RunDirectoryError that says what to do next."""
    try:
        with explained(directory):
            yield
    except (SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "PytorchStreamWriter" not in str(error):
            raise
        free = shutil.disk_usage(next(parent for parent in directory.parents if parent.exists())).free // 2**20
        raise RunDirectoryError(
            f"Cannot write weights to {directory} ({free} MiB are free): {str(error).splitlines()[0]}. Free some "
            "space, then go on with the run by resume=<its directory>: what was scored before is safe in it."
        ) from error


def start_weights(stage: str, base: BaseModel, stage_directory: Callable[[str], Path]) -> PreTrainedModel:
    """A model of its own with the last weights of ``stage``, or of the base ("base"); stage_directory: where one is."""
    if stage == "base":
        return copy.deepcopy(base.model)
    return AutoModelForCausalLM.from_pretrained(final_directory(stage_directory(stage)), dtype=base.model.dtype)


FILE = "stage.json"


def claim_directory(directory: Path, identity: Mapping[str, Any], *, resumed: bool) -> None:
    """Write the identity of a stage that begins; of one that is resumed, refuse to go on from another stage's.

    Raises TrainingError that names each difference.
    """
    file = directory / FILE
    if resumed and file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        if differences := list(_differences(before, identity)):
            raise TrainingError(
                f"The checkpoints in {directory} belong to another configuration:\n"
                + "\n".join(f"  - {line}" for line in differences)
                + "\nGo on with what they were made with, or start a new run."
            )
        return
    write_atomically(file, json.dumps(identity, indent=1).encode())


def stage_identity(
    plan: StagePlan, model: PreTrainedModel, pairs: Sequence[EncodedPair], seed: int
) -> Mapping[str, Any]:
    """All that decides how a stage goes on from a checkpoint, as JSON has it."""
    rows = hashlib.sha256(repr([asdict(pair) for pair in pairs]).encode()).hexdigest()
    identity = {
        "algorithm": {"name": plan.algorithm.name, **plan.parameters},
        "view": plan.info.view,
        "trainer": asdict(plan.trainer),
        "seed": seed,
        "pairs": {"number": len(pairs), "sha256": rows},
        "model": {"type": model.config.model_type, "parameters": model.num_parameters()},
    }
    normal: Mapping[str, Any] = json.loads(json.dumps(identity))
    return normal


def _differences(before: Any, now: Any, key: str = "") -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in {**before, **now}:
            yield from _differences(before.get(name), now.get(name), f"{key}.{name}".lstrip("."))
    elif before != now:
        yield f"{key}: found {now!r}, expected {before!r}"


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
