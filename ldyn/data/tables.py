"""Local files as records with row numbers: JSON lines, JSON, CSV and Parquet; text may be gzipped.

Text must be UTF-8 (a byte order mark and any line ends are accepted). In a CSV the first row is the header, and the
delimiter (comma, semicolon or tab) is the one that splits the header into most names. Rows are counted from 1: lines of
a .jsonl, elements of a .json, rows of a .parquet, and rows of a .csv as a spreadsheet counts them (header: row 1).
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ldyn.data.row_reading import Record, RowFaults
from ldyn.errors import DataError

_DELIMITERS = ",;\t"
_REASON_LENGTH = 200
Records = dict[int, Record]
Reader = Callable[[Path, RowFaults], Records]


def read_table(path: Path, faults: RowFaults) -> Records:
    """The rows of a file that could be read; what is wrong with the others goes to ``faults``.

    Raises DataError for a file that cannot be read at all.
    """
    if not path.is_file():
        raise DataError(f"There is no file {path} (looked for {path.absolute()}); correct the path.")
    name = path.name.lower()
    suffix = next((known for known in READERS if name.endswith(known)), None)
    if suffix is None:
        raise DataError(
            f"{path} is a {path.suffix or 'file without a suffix'}; expected one of {', '.join(READERS)}; convert it "
            "(a spreadsheet: save it as CSV UTF-8)."
        )
    records = READERS[suffix](path, faults)
    if not records:
        faults.raise_if_any(records)
        raise DataError(f"{path} has no rows; set dataset.path to a file that has some.")
    return records


# --------------------------------------------------------------------------------------------------------------
# JSON


def _json(path: Path, faults: RowFaults) -> Records:
    """One array of objects; a file of JSON lines that is called .json is read as well."""
    text = _text(path)
    if not text.lstrip().startswith("["):
        return _of_lines(text, faults)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}; expected an array of objects; correct it.") from error
    return _objects(dict(enumerate(values, start=1)), faults)


def _of_lines(text: str, faults: RowFaults) -> Records:
    values: dict[int, Any] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            if line.strip():
                values[number] = json.loads(line)
        except (ValueError, RecursionError) as error:  # a number of a million digits, brackets without end
            faults.add("not_json", number, str(error))
    return _objects(values, faults)


def _objects(values: Mapping[int, Any], faults: RowFaults) -> Records:
    for number, value in values.items():
        if not isinstance(value, dict):
            faults.add("not_an_object", number, f"found {type(value).__name__}")
    return {number: value for number, value in values.items() if isinstance(value, dict)}


# --------------------------------------------------------------------------------------------------------------
# CSV


def _csv(path: Path, faults: RowFaults) -> Records:
    text = _text(path)
    rows = _csv_rows(text, faults)
    _, header = next(rows, (0, []))
    names = [name.strip() for name in header]
    for name, number in Counter(names).items():
        if number > 1:
            faults.of_file.append(f"{number} columns are called {name!r}; give each a name of its own")
    records: Records = {}
    for number, fields in rows:
        if len(fields) == len(names):
            records[number] = dict(zip(names, fields, strict=True))
        else:
            faults.add("other_number_of_fields", number, f"found {len(fields)}, expected {len(names)}")
    return records


def _csv_rows(text: str, faults: RowFaults) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(max(len(text) + 1, csv.field_size_limit()))  # `layouts` limits how long a text may be
    reader = csv.reader(StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    number, line = 0, 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.add("not_csv", number + 1, f"{error}, in the row that begins in line {line}")
            return
        number, line = number + 1, reader.line_num + 1
        if fields:
            yield number, fields


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(_DELIMITERS, key=lambda mark: _n_fields(header, mark))


def _n_fields(line: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=delimiter), []))
    except csv.Error:
        return 0


# --------------------------------------------------------------------------------------------------------------
# Parquet


def _parquet(path: Path, _: RowFaults) -> Records:
    import pyarrow as pa  # here: checking a configuration needs none of it
    import pyarrow.parquet as pq

    try:
        return dict(enumerate(pq.read_table(path).to_pylist(), start=1))
    except (pa.ArrowException, OSError, ValueError, ArithmeticError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {_reason(error)}; write it again.") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:_REASON_LENGTH]


# --------------------------------------------------------------------------------------------------------------
# Text


def _text(path: Path) -> str:
    r"""The text, with "\n" as line ends: old Mac files have "\r" alone."""
    is_gzipped = path.suffix.lower() == ".gz"
    try:
        data = gzip.decompress(path.read_bytes()) if is_gzipped else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        kind = " as gzip" if is_gzipped else ""
        raise DataError(f"{path} cannot be read{kind}: {_reason(error)}; write it again.") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        place = f"byte 0x{data[error.start]:02X} in line {line}"
        convert = f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8{path.suffix}"
        raise DataError(
            f"{path} is not UTF-8 text ({place}); save it as UTF-8, for instance by: {convert} (or -f UTF-16)"
        ) from error
    return text if "\n" in text else text.replace("\r", "\n")


_OF_TEXT: Mapping[str, Reader] = {
    ".jsonl": lambda path, faults: _of_lines(_text(path), faults),
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
}
READERS: Mapping[str, Reader] = {
    **_OF_TEXT,
    ".parquet": _parquet,
    **{f"{suffix}.gz": reader for suffix, reader in _OF_TEXT.items()},
}
"""Suffix -> how such a file is read."""
