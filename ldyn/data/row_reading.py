"""From records to rows, by one rule for local files and sets of the hub: columns, layouts, faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ldyn.data.columns import (
    NAMES,
    OTHER_SPELLINGS,
    Columns,
    missing_columns,
    read_columns,
    unread_prompt,
    unread_prompt_columns,
)
from ldyn.data.layouts import (
    PAIR,
    REASONS,
    TOKEN_IDS,
    Layout,
    Reason,
    Row,
    UnusableRecord,
    has_system,
    read_record,
    without_repeated_prompts,
)
from ldyn.data.text import visible
from ldyn.errors import DataError

Record = Mapping[str, Any]
_ROWS_SHOWN = 5


class RowFaults:
    """All faults of one file or split, to be reported together."""

    def __init__(self, title: object):
        self._title = title
        self.of_file: list[str] = []
        self.of_rows: dict[Reason, list[int]] = {}
        self._found: dict[Reason, str] = {}

    def add(self, reason: Reason, row: int, found: str = "") -> None:
        """A fault of one row; ``found`` is shown for the first such row."""
        self.of_rows.setdefault(reason, []).append(row)
        self._found.setdefault(reason, found)

    def raise_if_any(self, n_rows: int) -> None:
        """Raise a DataError with everything that was collected; ``n_rows`` is how many rows there are."""
        lines = [f"  - {fault}" for fault in self.of_file]
        for reason, rows in self.of_rows.items():
            shown = f"row {', '.join(map(str, rows[:_ROWS_SHOWN]))}{', …' if len(rows) > _ROWS_SHOWN else ''}"
            first = f"; first: {self._found[reason]}" if self._found[reason] else ""
            lines.append(f"  - {reason.rows}: {len(rows)} of {n_rows} rows ({shown}{first}); {reason.next_step}")
        if lines:
            raise DataError("\n".join([f"{self._title} cannot be used:", *lines]))


@dataclass(frozen=True)
class Table:
    """The records of a file or split by row number, and how many rows it has, those without a record included.

    unreadable: columns whose values could not be read -> why; they are in no record.
    """

    records: Mapping[int, Record]
    n_rows: int
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every name in the records, in the order of appearance."""
        return tuple(dict.fromkeys(name for record in self.records.values() for name in record))


@dataclass(frozen=True)
class Expected:
    """What is read of a table: the split its rows are for, the keys each row must have, the user's columns."""

    split: str
    required: tuple[str, ...]
    columns: Columns = field(default_factory=dict)
    layout: Layout = "auto"
    names: tuple[str, ...] = NAMES
    id_format: str = "row-{:04d}"


@dataclass(frozen=True)
class ReadRows:
    """The usable rows by their numbers, in order, and what was counted."""

    rows: Mapping[int, Row]
    counts: Counter[str]


def read_rows(table: Table, expected: Expected, faults: RowFaults) -> ReadRows:
    """The rows that can be used; what is wrong with the others goes to ``faults``.

    Raises DataError for a fault of the columns: other faults of the rows would follow from it.
    """
    split, given = expected.split, expected.columns
    read = read_columns([*table.columns, *table.unreadable], given)
    columns = {ours: name for ours, name in read.items() if ours in expected.names}
    records = {number: _by_our_names(record, columns) for number, record in table.records.items()}
    required = _required(expected, records)
    faults.of_file += _column_faults(table, columns, given, required, list(records.values()))[:1]
    if faults.of_file:
        faults.raise_if_any(table.n_rows)
    with_system = any(map(has_system, records.values()))
    rows: dict[int, Row] = {}
    for number, record in records.items():
        lacking = [key for key in required if key not in record]
        for key in lacking:
            faults.add(Reason(f"without {key!r}", f"each row needs {', '.join(required)}"), number)
        if lacking:
            continue
        try:
            row_id = str(record.get("id", expected.id_format.format(number)))
            rows[number] = read_record(row_id, record, expected.layout, with_system=with_system)
        except UnusableRecord as unusable:
            faults.add(REASONS[unusable.reason], number, unusable.found)
    kept, repeated = without_repeated_prompts(list(rows.values()))
    used = {*columns.values(), *OTHER_SPELLINGS, TOKEN_IDS}
    counts = Counter(
        f"{split}.ignored_key.{visible(name)}"
        for record in table.records.values()
        for name in record
        if name not in used
    )
    counts[f"{split}.prompt_taken_off_answers"] += len(kept) if repeated else 0
    return ReadRows(dict(zip(rows, kept, strict=True)), counts)


def _by_our_names(record: Record, columns: Mapping[str, str]) -> dict[str, Any]:
    """The values of a record that are not null."""
    values = {ours: record.get(name) for ours, name in columns.items()}
    for other, ours in OTHER_SPELLINGS.items():
        if ours in values and values[ours] is None:  # a file may use both spellings
            values[ours] = record.get(other)
    values[TOKEN_IDS] = record.get(TOKEN_IDS)
    return {ours: value for ours, value in values.items() if value is not None}


def _required(expected: Expected, records: Mapping[int, Record]) -> tuple[str, ...]:
    """What each row must have: no prompt where no row has one and some have two responses that may share it."""
    has_prompt = any("prompt" in record for record in records.values()) or expected.columns.get("prompt") is not None
    has_pairs = any(all(key in record for key in PAIR) for record in records.values())
    if has_prompt or not has_pairs:
        return expected.required
    return tuple(dict.fromkeys((*(key for key in expected.required if key != "prompt"), *PAIR)))


def _column_faults(
    table: Table, columns: Mapping[str, str], given: Columns, required: Sequence[str], records: Sequence[Record]
) -> list[str]:
    faults = [
        f"the column {name} cannot be read: {table.unreadable[name]}; write it again as text"
        for name in sorted(set(columns.values()) & set(table.unreadable))
    ]
    if lost := [key for key in required if records and not any(key in record for record in records)]:
        faults.append(f"without {', '.join(lost)}: {missing_columns(table.columns, required, given)}, or rename them")
    if unread := unread_prompt_columns(table.columns, columns, given, records):
        faults.append(unread_prompt(columns, unread))
    return faults
