"""Local files as records with row numbers: JSON lines, JSON, CSV and Parquet.

Text must be UTF-8 (a byte order mark and any line endings are taken). In a CSV the first row is the header, fields may
be quoted and hold line breaks, and the delimiter (comma, semicolon or tab) is the one that splits the header into most
names. Rows are counted from 1: lines of a .jsonl, elements of a .json, rows of a .parquet, and rows of a .csv as a
spreadsheet counts them, the header being row 1.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ldyn.data.row_faults import RowFaults
from ldyn.errors import DataError

Record = Mapping[str, Any]
_A_LINE = "write one JSON object a line"
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Table:
    """The records of a file by row number, and how many rows it has, those without a record included."""

    records: Mapping[int, Record]
    n_rows: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Every name in the records, in the order of appearance."""
        return tuple(dict.fromkeys(name for record in self.records.values() for name in record))


def read_table(path: Path, faults: RowFaults) -> Table:
    """The rows of a file that could be read; what is wrong with the others goes to ``faults``.

    Raises DataError for a file that cannot be read at all.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path} (looked for {path.absolute()}); correct the path.")
    if path.suffix.lower() not in READERS:
        raise DataError(
            f"{path} is a {path.suffix or 'file without a suffix'}; expected one of {', '.join(READERS)}; convert it "
            "(a spreadsheet: save it as CSV UTF-8)."
        )
    table = READERS[path.suffix.lower()](path, faults)
    if not table.n_rows:
        raise DataError(f"{path} has no rows; point dataset.path to a file that has some.")
    return table


# --------------------------------------------------------------------------------------------------------------
# JSON


def _json_lines(path: Path, faults: RowFaults) -> Table:
    return _of_lines(_text(path, faults), faults)


def _json(path: Path, faults: RowFaults) -> Table:
    """One array of objects; a file of JSON lines that is called .json is taken as well."""
    text = _text(path, faults)
    if not text.lstrip().startswith("["):
        return _of_lines(text, faults)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}; expected an array of objects; correct it.") from error
    found = {number: _object(value, number, faults) for number, value in enumerate(values, start=1)}
    return Table({number: record for number, record in found.items() if record is not None}, len(found))


def _of_lines(text: str, faults: RowFaults) -> Table:
    lines = {number: line for number, line in enumerate(text.split("\n"), start=1) if line.strip()}
    records: dict[int, Record] = {}
    for number, line in lines.items():
        try:
            record = _object(json.loads(line), number, faults)
        except json.JSONDecodeError as error:
            faults.add("not valid JSON", number, _A_LINE, f"{error.msg} in column {error.colno}")
        except (ValueError, RecursionError) as error:  # a number of a million digits, brackets without end
            faults.add("not valid JSON", number, _A_LINE, str(error))
        else:
            if record is not None:
                records[number] = record
    return Table(records, len(lines))


def _object(value: Any, number: int, faults: RowFaults) -> Record | None:
    if isinstance(value, dict):
        return value
    faults.add("not a JSON object", number, _A_LINE, f"found {type(value).__name__}")
    return None


# --------------------------------------------------------------------------------------------------------------
# CSV


def _csv(path: Path, faults: RowFaults) -> Table:
    text = _text(path, faults)
    rows = _csv_rows(text, faults)
    _, header = next(rows, (0, []))
    names = [name.strip() for name in header]
    for name, number in Counter(names).items():
        if number > 1:
            faults.add_to_file(f"{number} columns are called {name!r}; give each a name of its own")
    records: dict[int, Record] = {}
    n_rows = 0
    for number, fields in rows:
        n_rows += 1
        if len(fields) == len(names):
            records[number] = dict(zip(names, fields, strict=True))
        else:
            found = f"found {len(fields)}, expected {len(names)}"
            faults.add("with another number of fields than the header", number, _QUOTE, found)
    return Table(records, n_rows)


_QUOTE = (
    "put a field that holds a delimiter, a quotation mark or a line break in quotation marks, and double those in it"
)


def _csv_rows(text: str, faults: RowFaults) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, with their numbers; ends at a row that cannot be read."""
    csv.field_size_limit(max(len(text) + 1, csv.field_size_limit()))  # `formats` says how long a text may be
    reader = csv.reader(StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    number, line = 0, 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.add("not valid CSV", number + 1, _QUOTE, f"{error}, in the row that begins in line {line}")
            return
        number, line = number + 1, reader.line_num + 1
        if fields:
            yield number, fields


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(_DELIMITERS, key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))


# --------------------------------------------------------------------------------------------------------------
# Parquet


def _parquet(path: Path, faults: RowFaults) -> Table:
    del faults  # a Parquet file is read as a whole or not at all
    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as Parquet: {reason}; write it again.") from error
    return Table(dict(enumerate(rows, start=1)), len(rows))


# --------------------------------------------------------------------------------------------------------------
# Text


def _text(path: Path, faults: RowFaults) -> str:
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(
            f"{path} is UTF-16 text, by its first two bytes; expected UTF-8; convert it: "
            f"iconv -f UTF-16 -t UTF-8 {path.name} > utf8{path.suffix}"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        _add_lines_that_are_not_utf8(data, path, faults)
        return data.decode("utf-8-sig", errors="replace")


def _add_lines_that_are_not_utf8(data: bytes, path: Path, faults: RowFaults) -> None:
    next_step = f"save it as UTF-8, for instance by: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8{path.suffix}"
    begins = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            wrong = line[error.start : error.start + 1]
            as_windows = wrong.decode("cp1252", errors="replace")
            found = (
                f"0x{wrong.hex().upper()} at byte {begins + error.start}, in Windows-1252 it would be {as_windows!r}"
            )
            faults.add("not UTF-8 text", number, next_step, found, unit="line")
        begins += len(line) + 1


READERS: Mapping[str, Callable[[Path, RowFaults], Table]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
}
"""Suffix -> how such a file is read."""
