"""Reading a directory of published logs as it is: the means of each evaluation and, where there are any, the examples.

``prob_train_metrics.json`` holds one JSON object a line, one line an evaluation: column name -> mean over the examples.
``logp_npy_all_*.npy`` (optional) holds an array (evaluations, columns, examples) without any names: its columns are
those of the JSON file *of the same directory*, in its order. Two published arrays of one shape have two orders, so
every mean of the array is compared with the JSON file's number before a row is believed.
"""

from __future__ import annotations

import json
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
_SAME_START = 1e-6  # relative; a second run from the same weights begins with the same numbers
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

    @property
    def numbers(self) -> Array:
        """evaluations × columns × examples; the means stand as one example where there are no others."""
        return self.means[:, :, None] if self.examples is None else self.examples


def read_published_log(directory: Path) -> PublishedLog:
    """Read and check one directory. Raises DataError, saying what is wrong with which file and what to do."""
    metrics = directory / METRICS_FILE
    if not metrics.is_file():
        found = (
            ", ".join(sorted(entry.name for entry in directory.iterdir())[:_NAMES_SHOWN])
            if directory.is_dir()
            else None
        )
        what = (
            f"The directory {directory} holds {found or 'nothing'}"
            if found is not None
            else f"There is no directory {directory}"
        )
        raise DataError(f"{what}; expected a directory with {METRICS_FILE} and, if published, {EXAMPLES_PATTERN}.")
    columns, means = _read_metrics(metrics)
    arrays = sorted(directory.glob(EXAMPLES_PATTERN))
    if len(arrays) > 1:
        names = ", ".join(path.name for path in arrays)
        raise DataError(f"{directory} holds {len(arrays)} arrays ({names}); expected one; move the others away.")
    examples = _read_examples(arrays[0], columns, means) if arrays else None
    return PublishedLog(directory, columns, means, examples, (metrics, *arrays))


def _read_metrics(path: Path) -> tuple[tuple[str, ...], Array]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); {_ONE_A_LINE}; take the file anew.") from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows = [_row(path, number, line) for number, line in lines]
    if len(rows) < 2:
        raise DataError(f"{path} has {len(rows)} evaluations; a change needs two at least; take the file anew.")
    columns = tuple(rows[0])
    for (number, _), row in zip(lines, rows, strict=True):
        if tuple(row) != columns:
            differing = sorted(set(row) ^ set(columns))[:_NAMES_SHOWN]
            what = (
                f"other columns than line 1 ({', '.join(differing)})" if differing else "its columns in another order"
            )
            raise DataError(f"{path} has in line {number} {what}; expected the same in every line; split the file.")
    means = np.array([list(row.values()) for row in rows], dtype=np.float64)
    _refuse_two_runs(path, means)
    return columns, means


def _row(path: Path, number: int, line: str) -> dict[str, float]:
    try:
        row: Any = json.loads(line)
    except json.JSONDecodeError as error:
        remedy = "take the file anew, or delete the line if it was cut off while it was written"
        raise DataError(f"Line {number} of {path} is not JSON ({error.msg}); {_ONE_A_LINE}; {remedy}.") from error
    if not isinstance(row, dict) or not row:
        found = "an empty object" if row == {} else type(row).__name__
        raise DataError(f"Line {number} of {path} holds {found}; {_ONE_A_LINE}; is it a file of another layout?")
    wrong = [name for name, value in row.items() if isinstance(value, bool) or not isinstance(value, (int, float))]
    if wrong:
        value = row[wrong[0]]
        raise DataError(f"Line {number} of {path}: {wrong[0]!r} is {value!r}; {_ONE_A_LINE}; correct the line.")
    return row


def _refuse_two_runs(path: Path, means: Array) -> None:
    """The published code appends to the file of an earlier run; its evaluations then begin anew, without a mark."""
    at_start = np.isclose(means, means[0], rtol=_SAME_START, atol=0, equal_nan=True).all(axis=1)
    returned = np.flatnonzero(at_start[1:] & ~at_start[:-1]) + 1
    if returned.size:
        what = f"evaluation {returned[0] + 1} is the first one again, so a second run was appended"
        raise DataError(f"{path}: {what}; expected one run; split the file there.")


def _read_examples(path: Path, columns: tuple[str, ...], means: Array) -> Array:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as an array ({error}); take it anew, or move it away.") from error
    expected = (*means.shape, "examples")
    if array.ndim != 3 or array.shape[:2] != means.shape or not array.size or array.dtype.kind != "f":
        found = f"{array.dtype} of shape {array.shape}"
        advice = f"take the one that belongs to this {METRICS_FILE}, or move it away to go on with the means alone"
        raise DataError(f"{path} holds {found}, expected numbers of shape {expected}; {advice}.")
    examples: Array = array.astype(np.float64)
    _compare(path, columns, means, examples)
    return examples


def _compare(path: Path, columns: tuple[str, ...], means: Array, examples: Array) -> None:
    """Raises DataError unless every mean over the examples is the number in the JSON file, NaN where that is."""
    with np.errstate(invalid="ignore"):
        found = examples.mean(axis=2)
    agree = _agree(found, means).all(axis=0)
    if agree.all():
        return
    row = int(np.flatnonzero(~agree)[0])
    same = [name for place, name in enumerate(columns) if _agree(found[:, row], means[:, place]).all()]
    holds = f"those of {same[0]!r}" if same else f"{found[0, row]:.6g} in the first evaluation, not {means[0, row]:.6g}"
    raise DataError(
        f"{path} does not belong to {METRICS_FILE} beside it: the means of {int((~agree).sum())} of {len(columns)} "
        f"rows differ from it. Row {row} should be {columns[row]!r}, but its means are {holds}. "
        "Take the array of the same run, or move it away to go on with the means alone."
    )


def _agree(found: Array, expected: Array) -> NDArray[np.bool_]:
    """A mean over numbers of which one is not finite is not finite either; which of NaN and infinity is all one."""
    both_not_finite = ~np.isfinite(found) & ~np.isfinite(expected)
    return both_not_finite | np.isclose(found, expected, rtol=_RELATIVE, atol=_ABSOLUTE)
