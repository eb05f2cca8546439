"""Reading rows from local files, and saying all that is wrong with a file at once.

A row has ``prompt`` and any of the probe keys of ``ldyn.records.PROBE_FAMILIES`` (the spellings
``rejected_gptsemantic`` and ``rejected_gptformat`` are read as ``reject_…``), and an optional ``id``. The prompt may be
left out of a whole file whose chosen and rejected begin with it: ``ldyn.data.formats`` says in which forms. null is the
same as no key; other keys are ignored and counted. Rows without an id are named by their number in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldyn.data.columns import Columns, missing_columns, our_names
from ldyn.data.encoder import normal_prompt
from ldyn.data.formats import REASONS, UnusableRecord, take_apart
from ldyn.data.row_faults import RowFaults
from ldyn.data.rows import Row
from ldyn.data.tables import Record, read_table
from ldyn.errors import DataError
from ldyn.records import PROBE_FAMILIES, MissingResponses

_PAIR = ("chosen", "rejected")
_PROMPT_TWICE = (
    "chosen and rejected begin with their prompt in every row, so it would be read twice; leave the column out by "
    "'dataset.columns={prompt: null}': the prompt is then what both begin with"
)


@dataclass(frozen=True)
class RowFile:
    """A file to read: the split its rows are for, the keys each row must have, and whether an id may come twice."""

    path: Path
    split: str
    required: tuple[str, ...]
    unique_ids: bool = True
    columns: Columns = field(default_factory=dict)


@dataclass(frozen=True)
class ReadRows:
    """What one file yielded."""

    split: str
    rows: Sequence[Row]
    counts: Mapping[str, int]
    missing: Sequence[MissingResponses]


def read_row_files(files: Sequence[RowFile]) -> list[ReadRows]:
    """Reads every file; raises one DataError with the faults of all of them."""
    read: list[ReadRows] = []
    faults: list[str] = []
    for file in files:
        try:
            read.append(_read(file))
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
    return read


def _read(file: RowFile) -> ReadRows:
    faults = RowFaults(file.path)
    table = read_table(file.path, faults)
    counts: Counter[str] = Counter()
    named = {number: _named(file, number, record, faults, counts) for number, record in table.records.items()}
    required = _needed(file, named)
    if lost := _columns_that_no_row_has(required, named):
        faults.add_to_file(
            f"without {', '.join(lost)}: {missing_columns(table.columns, required, file.columns)}, or rename them"
        )
        faults.raise_if_any(table.n_rows)  # what else is wrong with the rows would follow from this
    rows = {number: _row(number, values, required, faults) for number, values in named.items()}
    if _hold_their_prompts(rows.values()):
        faults.add_to_file(_PROMPT_TWICE)
    if file.unique_ids:
        _check_ids(rows, faults)
    faults.raise_if_any(table.n_rows)
    return ReadRows(file.split, list(rows.values()), counts, list(_missing(file, rows)))


def _named(file: RowFile, number: int, record: Record, faults: RowFaults, counts: Counter[str]) -> dict[str, Any]:
    """The values of a record by our names; those that are null are left out."""
    values: dict[str, Any] = {}
    ours = list(our_names(record, file.columns))
    for name, _, value in ours:
        if name in values:
            faults.add(f"with {name!r} in both spellings", number, "keep one")
        elif value is not None:
            values[name] = value
    counts.update(f"{file.split}.ignored_key.{key}" for key in set(record) - {column for _, column, _ in ours})
    return values


def _needed(file: RowFile, named: Mapping[int, Mapping[str, Any]]) -> tuple[str, ...]:
    """What each row must have: no prompt where no row has one and all of them have two responses that may share it."""
    has_prompt = any("prompt" in values for values in named.values()) or file.columns.get("prompt") is not None
    has_pairs = any(all(key in values for key in _PAIR) for values in named.values())
    if has_prompt or not has_pairs:
        return file.required
    return tuple(dict.fromkeys((*(key for key in file.required if key != "prompt"), *_PAIR)))


def _columns_that_no_row_has(required: Sequence[str], named: Mapping[int, Mapping[str, Any]]) -> list[str]:
    return [key for key in required if named and not any(key in values for values in named.values())]


def _row(number: int, values: Mapping[str, Any], needed: Sequence[str], faults: RowFaults) -> Row:
    row_id = str(values.get("id", f"row-{number:04d}"))
    texts = {name: value for name, value in values.items() if name != "id"}
    lacking = [key for key in needed if key not in texts]
    for key in lacking:
        faults.add(f"without {key!r}", number, f"each row of this file needs {', '.join(needed)}")
    try:
        parts = take_apart(texts)
    except UnusableRecord as unusable:
        if not lacking:
            reason = REASONS[unusable.reason]
            faults.add(reason.rows, number, reason.next_step, unusable.found)
        return Row(row_id, "", {})
    return Row(row_id, parts.prompt, parts.responses, parts.turns)


def _hold_their_prompts(rows: Collection[Row]) -> bool:
    """Whether chosen and rejected repeat the prompt in every row; in a single row that may be chance."""
    return len(rows) > 1 and all(
        row.prompt.strip() and all(row.responses.get(key, "").startswith(normal_prompt(row.prompt)) for key in _PAIR)
        for row in rows
    )


def _check_ids(rows: Mapping[int, Row], faults: RowFaults) -> None:
    first: dict[str, int] = {}
    for number, row in rows.items():
        if first.setdefault(row.row_id, number) != number:
            faults.add("with the id of an earlier row", number, "give each row its own id", repr(row.row_id))


def _missing(file: RowFile, rows: Mapping[int, Row]) -> Iterator[MissingResponses]:
    for probe in PROBE_FAMILIES:
        without = [number for number, row in rows.items() if probe not in row.responses]
        if 0 < len(without) < len(rows):
            yield MissingResponses(file.split, probe, len(without), len(rows), file.path.name, without[0])
