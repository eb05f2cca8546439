"""CSV files exported from wandb, as a log of batch means of one run.

1. From a chart: one metric a file, columns ``Step``, ``<run> - train/rewards/chosen`` and the same with ``__MIN`` and
   ``__MAX``. Several such files make one log.
2. A run's history: one column a metric, ``_step`` or ``train/global_step``, ``train/rewards/chosen`` ...; a row has
   empty cells where nothing was logged.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ldyn.errors import DataError, expected_one_of
from ldyn.store.batch_logs import PREFERENCE, BatchLog, Cell, batch_log, split_and_metric

_STEPS = ("train/global_step", "global_step", "Step", "_step", "step")
_EPOCHS = ("train/epoch", "epoch")
_RUNS = ("run_name", "run_id", "run", "Name")
_NOT_LOGGED = ("", "nan", "null", "none")


@dataclass(frozen=True)
class _Column:
    place: int
    name: str
    run: str  # "" where the column does not name it
    split: str
    metric: str


def read_wandb_csv(paths: Sequence[Path], run: str | None = None) -> BatchLog:
    """Read and check the files of one run. run: its name, needed where the files hold several.

    Raises DataError naming the file, the line and the column, or the runs found.
    """
    cells: list[tuple[str, Cell]] = []
    logged: list[str] = []
    for path in paths:
        lines = _lines(path)
        columns = _columns(lines[0])
        logged += [name.rpartition(" - ")[2].removesuffix("__MIN").removesuffix("__MAX") for name in lines[0]]
        cells += list(_cells(path, lines, columns)) if columns else []
    if not cells:
        raise DataError(
            f"{', '.join(map(str, paths))}: no column has a known metric: found {', '.join(dict.fromkeys(logged))}; "
            f"expected loss, {', '.join(PREFERENCE)} …, alone or after train/, eval/ or a run's name and ' - '."
        )
    runs = list(dict.fromkeys(name for name, _ in cells))
    if run is None and len(runs) > 1:
        raise DataError(f"{paths[0]} holds {len(runs)} runs: {', '.join(runs)}. Choose one with --wandb-run NAME.")
    if run is not None and run not in runs:
        named = [name for name in runs if name]
        advice = expected_one_of(run, named) if named else "the file names no run; leave the option out"
        raise DataError(f"--wandb-run: {paths[0]} has no run {run!r}; {advice}.")
    chosen = run if run is not None else runs[0]
    name = chosen or paths[0].stem
    return batch_log(paths, name, (cell for of, cell in cells if of == chosen), logged)


def _lines(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV ({error}). Export it from wandb again.") from error
    if len(lines) < 2:
        raise DataError(f"{path} has no rows below its header. Export it from wandb again.")
    return lines


def _columns(header: Sequence[str]) -> list[_Column]:
    found = []
    for place, name in enumerate(header):
        run, _, metric = name.rpartition(" - ")
        if known := split_and_metric(metric):
            found.append(_Column(place, name, run, *known))
    return found


def _cells(path: Path, lines: Sequence[Sequence[str]], columns: Sequence[_Column]) -> Iterator[tuple[str, Cell]]:
    """(run, cell) of every number logged."""
    header = {name: place for place, name in reversed(list(enumerate(lines[0])))}
    run_column = next((header[name] for name in _RUNS if name in header), None)
    rows = [
        (number, line)
        for number, line in enumerate(lines[1:], start=2)
        if _any_logged(path, number, line, lines[0], columns)
    ]
    step_name = _step_column(path, header, [line for _, line in rows])
    epoch_name = next((name for name in _EPOCHS if name in header), None)
    for number, line in rows:
        where = f"{path}, line {number}"
        step = _number(where, step_name, line[header[step_name]])
        if not step.is_integer():
            raise DataError(
                f"{where}, column {step_name!r}: found {line[header[step_name]]!r}, expected a whole number."
            )
        epoch = _number(where, epoch_name, line[header[epoch_name]]) if epoch_name else math.nan
        for column in columns:
            if _is_logged(line[column.place]):
                run = column.run or (line[run_column] if run_column is not None else "")
                value = _number(where, column.name, line[column.place])
                yield run, Cell(column.split, int(step), epoch, column.metric, value)


def _any_logged(
    path: Path, number: int, line: Sequence[str], header: Sequence[str], columns: Sequence[_Column]
) -> bool:
    if line and len(line) != len(header):
        expected = f"expected {len(header)} cells as in the header"
        raise DataError(f"{path}, line {number}: found {len(line)} cells, {expected}. Export it from wandb again.")
    return bool(line) and any(_is_logged(line[column.place]) for column in columns)


def _is_logged(cell: str) -> bool:
    return cell.strip().lower() not in _NOT_LOGGED


def _step_column(path: Path, header: Mapping[str, int], lines: Sequence[Sequence[str]]) -> str:
    """The first step column that has a number in every row."""
    for name in (name for name in _STEPS if name in header):
        if all(_is_logged(line[header[name]]) for line in lines):
            return name
    found = ", ".join(sorted(header, key=lambda name: header[name]))
    raise DataError(f"{path} has no step in each row: found the columns {found}; expected one of {', '.join(_STEPS)}.")


def _number(where: str, column: str | None, cell: str) -> float:
    if not _is_logged(cell):
        return math.nan
    try:
        return float(cell)
    except ValueError:
        advice = "expected a number or an empty cell. Correct it, or export the file again"
        raise DataError(f"{where}, column {column!r}: found {cell!r}, {advice}.") from None
