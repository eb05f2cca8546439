"""Read a directory of published logs as it is: the means of each evaluation and, if published, the examples.

``prob_train_metrics.json`` holds one JSON object a line, one line an evaluation: column name -> mean over the examples.
``logp_npy_all_*.npy`` (optional) holds an array (evaluations, columns, examples) without names: its columns are those
of the JSON file *of the same directory*, in its order. Two published arrays of one shape have two orders, so every mean
of the array is compared with the JSON file's number.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ldyn.errors import DataError

Array = NDArray[np.float64]

METRICS_FILE = "prob_train_metrics.json"
EXAMPLES_PATTERN = "logp_npy_all_*.npy"
_ONE_A_LINE = "expected one JSON object a line, column name -> number, with the same columns in every line"
_RELATIVE, _ABSOLUTE = 1e-5, 1e-6  # a mean may have been taken in float32 or in another order
_EQUAL = 1e-6  # relative; two runs from the same weights begin with the same numbers
_CHANCE = 1e-3


@dataclass(frozen=True)
class PublishedLog:
    """One directory. means: evaluations × columns; examples: evaluations × columns × examples, or None.

    Numbers are as they were published, NaN and infinities included.
    """

    directory: Path
    columns: tuple[str, ...]
    means: Array
    examples: Array | None
    files: tuple[Path, ...]

    def column(self, name: str) -> Array:
        """evaluations × examples; the means stand as one example where there are no others."""
        place = self.columns.index(name)
        return self.means[:, place, None] if self.examples is None else self.examples[:, place]


def read_published_log(directory: Path) -> PublishedLog:
    """Read and check one directory. Raises DataError naming the file, what is wrong with it and what to do."""
    metrics, arrays = directory / METRICS_FILE, sorted(directory.glob(EXAMPLES_PATTERN))
    if not metrics.is_file() or len(arrays) > 1:
        found = ", ".join(sorted(entry.name for entry in directory.glob("*"))[:6]) or "nothing"
        expected = f"expected {METRICS_FILE} and, if published, one {EXAMPLES_PATTERN}; or a trainer_state.json"
        raise DataError(f"The directory of logs {directory} holds {found}; {expected}.")
    columns, means = _read_metrics(metrics)
    examples = _read_examples(arrays[0], columns, means) if arrays else None
    return PublishedLog(directory, columns, means, examples, (metrics, *arrays))


def _read_metrics(path: Path) -> tuple[tuple[str, ...], Array]:
    rows: list[dict[str, float]] = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            row = f"no JSON ({error})"
        is_row = isinstance(row, dict) and row and tuple(row) == tuple(rows[0] if rows else row)
        if not is_row or not all(type(value) in (int, float) for value in row.values()):
            remedy = "Get the file again, or delete the line if it was cut off while it was written"
            raise DataError(f"Line {number} of {path} is {str(row)[:200]}; {_ONE_A_LINE}. {remedy}.")
        rows.append(row)
    if len(rows) < 2:
        raise DataError(f"{path} has {len(rows)} evaluations; a change needs at least two. Get the file again.")
    means = np.array([list(row.values()) for row in rows], dtype=np.float64)
    _check_one_run(path, means)
    return tuple(rows[0]), means


def _check_one_run(path: Path, means: Array) -> None:
    """The published code appends to the file of an earlier run, without a mark, also while that one is running."""
    if _is_interleaved(means):
        raise DataError(
            f"{path}: its evaluations come in pairs of nearly equal ones, so two runs wrote it at the same time; "
            "expected one run. Put every second line into a file of another directory."
        )
    for later in range(1, len(means)):
        equal = np.isclose(means[:later], means[later], rtol=_EQUAL, atol=0, equal_nan=True).all(axis=1)
        if equal.any() and np.isfinite(means[later]).any():
            raise DataError(
                f"{path}: evaluation {later + 1} is evaluation {np.flatnonzero(equal)[0] + 1} again; expected one run. "
                "Split the file where a second run begins, or delete the line if it is there twice."
            )


def _is_interleaved(means: Array) -> bool:
    """Whether evaluations 1 and 2, 3 and 4 ... are nearer to each other than 2 to 3, 4 to 5 ..., more than by chance.

    Distances are in units of each column's spread. In the four logs that are known, it is so for 37 to 53 % of pairs.
    """
    finite = means[:, np.isfinite(means).all(axis=0)]
    spread = finite.std(axis=0)
    if not (spread > 0).any():
        return False
    distances = (np.diff(finite[:, spread > 0] / spread[spread > 0], axis=0) ** 2).mean(axis=1)
    between = distances[1::2]
    pairs = len(between)
    near = int((distances[::2][:pairs] < between).sum())
    at_least = sum(math.comb(pairs, number) for number in range(near, pairs + 1))  # of 2^pairs ways
    return bool(at_least < _CHANCE * 2**pairs)


def _read_examples(path: Path, columns: tuple[str, ...], means: Array) -> Array:
    remedy = f"Get the array that belongs to this {METRICS_FILE}, or move it away to import the means alone."
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as an array ({error}). {remedy}") from error
    if array.ndim != 3 or array.shape[:2] != means.shape or not array.size or array.dtype.kind != "f":
        expected = f"expected numbers of shape {(*means.shape, 'examples')}"
        raise DataError(f"{path} holds {array.dtype} of shape {array.shape}, {expected}. {remedy}")
    examples: Array = array.astype(np.float64)
    with np.errstate(invalid="ignore"):
        found = examples.mean(axis=2)
    # A mean over numbers of which one is not finite is not finite either, be it NaN or infinite.
    both_not_finite = ~np.isfinite(found) & ~np.isfinite(means)
    agree = (both_not_finite | np.isclose(found, means, rtol=_RELATIVE, atol=_ABSOLUTE)).all(axis=0)
    if not agree.all():
        row = int(np.flatnonzero(~agree)[0])
        raise DataError(
            f"{path}: the means of {int((~agree).sum())} of {len(columns)} rows differ from {METRICS_FILE}, first that "
            f"of row {row}, {columns[row]!r}: {found[0, row]:.6g}, expected {means[0, row]:.6g}. {remedy}"
        )
    return examples
