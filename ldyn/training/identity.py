"""What a stage's checkpoints belong to: written beside them when the stage begins, compared when it is resumed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel

from ldyn.errors import TrainingError
from ldyn.records import EncodedPair
from ldyn.store.files import write_atomically

if TYPE_CHECKING:
    from ldyn.training.stage import StagePlan

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
