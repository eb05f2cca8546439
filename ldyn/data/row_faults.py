"""All that is wrong with a file, told at once: each fault with the rows it is found in and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ldyn.errors import DataError

_ROWS_SHOWN = 5


@dataclass
class _Fault:
    next_step: str
    found: str
    unit: str
    rows: list[int]


class RowFaults:
    """Collects the faults of one file."""

    def __init__(self, path: Path):
        self._path = path
        self._of_file: list[str] = []
        self._of_rows: dict[str, _Fault] = {}

    def add(self, fault: str, row: int, next_step: str, found: str = "", *, unit: str = "row") -> None:
        """A fault of one row; ``found`` is shown for the first row that has it. ``unit``: what ``row`` counts."""
        self._of_rows.setdefault(fault, _Fault(next_step, found, unit, [])).rows.append(row)

    def add_to_file(self, fault: str) -> None:
        """A fault of the file as a whole: found, expected and next step in one text."""
        self._of_file.append(fault)

    def raise_if_any(self, n_rows: int) -> None:
        """Raise a DataError with everything that was collected; ``n_rows`` is how many rows the file has."""
        lines = [f"  - {fault}" for fault in self._of_file]
        lines += [_fault_line(what, fault, n_rows) for what, fault in self._of_rows.items()]
        if lines:
            raise DataError("\n".join([f"{self._path} cannot be used:", *lines]))


def _fault_line(what: str, fault: _Fault, n_rows: int) -> str:
    more = ", …" if len(fault.rows) > _ROWS_SHOWN else ""
    shown = f"{fault.unit} {', '.join(map(str, fault.rows[:_ROWS_SHOWN]))}{more}"
    found = f"; first: {fault.found}" if fault.found else ""
    number = f"{len(fault.rows)} of {n_rows} rows" if fault.unit == "row" else f"{len(fault.rows)} {fault.unit}s"
    return f"  - {what}: {number} ({shown}{found}); {fault.next_step}"
