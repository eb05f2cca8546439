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
_ONE_A_LINE = "expected one JSON object a line, one line an evaluation, column name -> number"
_RELATIVE, _ABSOLUTE = 1e-5, 1e-6  # a mean may have been taken in float32 or in another order
_EQUAL = 1e-6  # relative; two runs from the same weights begin with the same numbers
_CHANCE = 1e-3
_NAMES_SHOWN = 6


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
    metrics = directory / METRICS_FILE
    if not metrics.is_file():
        found = f"There is no directory {directory}"
        if directory.is_dir():
            entries = ", ".join(sorted(entry.name for entry in directory.iterdir())[:_NAMES_SHOWN])
            found = f"The directory {directory} holds {entries or 'nothing'}"
        raise DataError(f"{found}; expected a directory with {METRICS_FILE} and, if published, {EXAMPLES_PATTERN}.")
    columns, means = _read_metrics(metrics)
    arrays = sorted(directory.glob(EXAMPLES_PATTERN))
    if len(arrays) > 1:
        names = ", ".join(path.name for path in arrays)
        raise DataError(f"{directory} holds {len(arrays)} arrays ({names}); expected one. Move the others away.")
    examples = _read_examples(arrays[0], columns, means) if arrays else None
    return PublishedLog(directory, columns, means, examples, (metrics, *arrays))


def _read_metrics(path: Path) -> tuple[tuple[str, ...], Array]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); {_ONE_A_LINE}. Get the file again.") from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows = [_row(path, number, line) for number, line in lines]
    if len(rows) < 2:
        raise DataError(f"{path} has {len(rows)} evaluations; a change needs at least two. Get the file again.")
    columns = tuple(rows[0])
    for (number, _), row in zip(lines, rows, strict=True):
        if tuple(row) != columns:
            differing = sorted(set(row) ^ set(columns))[:_NAMES_SHOWN]
            what = f"other columns than line 1 ({', '.join(differing)})" if differing else "columns in another order"
            raise DataError(f"{path} has in line {number} {what}; expected the same in every line. Split the file.")
    means = np.array([list(row.values()) for row in rows], dtype=np.float64)
    _check_one_run(path, means)
    return columns, means


def _row(path: Path, number: int, line: str) -> dict[str, float]:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        remedy = "Get the file again, or delete the line if it was cut off while it was written"
        raise DataError(f"Line {number} of {path} is not JSON ({error}); {_ONE_A_LINE}. {remedy}.") from error
    if not isinstance(row, dict) or not row:
        found = "an empty object" if row == {} else type(row).__name__
        raise DataError(f"Line {number} of {path} holds {found}; {_ONE_A_LINE}. Is it a file of another layout?")
    wrong = [name for name, value in row.items() if isinstance(value, bool) or not isinstance(value, (int, float))]
    if wrong:
        value = row[wrong[0]]
        raise DataError(f"Line {number} of {path}: {wrong[0]!r} is {value!r}; {_ONE_A_LINE}. Correct the line.")
    return row


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
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as an array ({error}). Get it again, or move it away.") from error
    if array.ndim != 3 or array.shape[:2] != means.shape or not array.size or array.dtype.kind != "f":
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}, expected numbers of shape {(*means.shape, 'examples')}"
            f". Get the one that belongs to this {METRICS_FILE}, or move it away to import the means alone."
        )
    examples: Array = array.astype(np.float64)
    with np.errstate(invalid="ignore"):
        found = examples.mean(axis=2)
    agree = _agree(found, means).all(axis=0)
    if not agree.all():
        row = int(np.flatnonzero(~agree)[0])
        same = [name for place, name in enumerate(columns) if _agree(found[:, row], means[:, place]).all()]
        of = f"those of {same[0]!r}" if same else f"{found[0, row]:.6g} in the first line, not {means[0, row]:.6g}"
        raise DataError(
            f"{path} does not belong to {METRICS_FILE} beside it: the means of {int((~agree).sum())} of {len(columns)} "
            f"rows differ from it. Row {row} should be {columns[row]!r}, but its means are {of}. "
            "Get the array of the same run, or move it away to import the means alone."
        )
    return examples


def _agree(found: Array, expected: Array) -> NDArray[np.bool_]:
    """A mean over numbers of which one is not finite is not finite either, be it NaN or infinite."""
    both_not_finite = ~np.isfinite(found) & ~np.isfinite(expected)
    return both_not_finite | np.isclose(found, expected, rtol=_RELATIVE, atol=_ABSOLUTE)
