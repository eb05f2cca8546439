"""``trainer_state.json``, which transformers' Trainer and TRL write into every checkpoint, as a log of batch means."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ldyn.errors import DataError
from ldyn.store.batch_logs import BatchLog, Cell, batch_log, split_and_metric

STATE_FILE = "trainer_state.json"
_EXPECTED = f"expected {STATE_FILE} as transformers' Trainer writes it, an object with log_history"


def state_file_of(path: Path) -> Path | None:
    """The state that ``path`` means: a JSON file, a checkpoint, or the output directory with the last checkpoint."""
    if path.suffix == ".json":
        return path
    if (path / STATE_FILE).is_file():
        return path / STATE_FILE
    states = [state for state in path.glob(f"checkpoint-*/{STATE_FILE}") if state.parent.name[11:].isdigit()]
    return max(states, key=lambda state: int(state.parent.name[11:]), default=None)


def read_trainer_state(path: Path) -> BatchLog:
    """Read and check one state. Raises DataError naming what was found instead."""
    state = _read_json(path)
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        keys = f"the keys {', '.join(map(str, list(state)[:10])) or 'none'}" if isinstance(state, dict) else type(state)
        raise DataError(f"{path} is no trainer state: found {keys}; {_EXPECTED}.")
    rows: list[Any] = state["log_history"]
    if not rows:
        raise DataError(f"{path}: log_history is empty. Pass a later checkpoint, or train with logging_steps=1.")
    cells = [cell for number, row in enumerate(rows, start=1) for cell in _cells(path, number, row)]
    size = state.get("train_batch_size")
    logged = list(dict.fromkeys(name for row in rows for name in row))
    return batch_log([path], _name(path), cells, logged, size if isinstance(size, int) and size > 0 else None)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}); {_EXPECTED}. Copy the file again.") from error


def _name(path: Path) -> str:
    """Of the training: the directory above the checkpoint."""
    directory = path.resolve().parent
    return (directory.parent if directory.name.startswith("checkpoint-") else directory).name


def _cells(path: Path, number: int, row: Any) -> Iterator[Cell]:
    step = row.get("step") if isinstance(row, Mapping) else None
    if type(step) is not int:
        expected = "expected an object with a whole number as step"
        raise DataError(f"{path}: row {number} of log_history is {str(row)[:120]}; {expected}. Copy the file again.")
    epoch = row.get("epoch")
    for name, value in row.items():
        if known := split_and_metric(name):
            if type(value) not in (int, float):
                found = f"row {number} of log_history (step {step}), {name}: found {value!r}, expected a number"
                raise DataError(f"{path}: {found}. Correct or delete it.")
            yield Cell(
                known[0], step, float(epoch) if type(epoch) in (int, float) else math.nan, known[1], float(value)
            )
