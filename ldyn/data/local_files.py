"""Preference data and probe sets from local files: JSON lines, JSON, CSV, Parquet; the paper's probe files too.

A row has ``prompt`` and any of the probe keys of ``ldyn.records.PROBE_FAMILIES``, and an optional ``id``; other columns
are ignored and counted. The prompt may be absent where chosen and rejected begin with it, see ``ldyn.data.layouts``.
Each training row is a training pair and a train probe; each test row is a test probe.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ldyn.data.columns import Columns
from ldyn.data.layouts import PAIR
from ldyn.data.row_reading import RowFaults, read_rows
from ldyn.data.rows import RawRows, RowsConfig, assemble
from ldyn.data.tables import READERS, read_table
from ldyn.errors import DataError
from ldyn.records import PROBE_FAMILIES, MissingResponses, PreferenceData, ProbeExample

DIR_STEMS = (("probe_train", "probe_test"), ("train", "test"))
_SUFFIXES = f"{', '.join(suffix for suffix in READERS if not suffix.endswith('.gz'))}, or text with .gz"
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class FilesConfig(RowsConfig):
    """Where the rows are; see ``RowsConfig`` for the rest. Without a test file rows are held out.

    path: one file, or a directory with the files probe_train and probe_test, or train and test, of any of the suffixes.
    """

    path: str
    source: Literal["files", "jsonl"] = "files"  # stored runs of earlier versions have "jsonl"


@dataclass(frozen=True)
class RowFile:
    """A file to read: the split its rows are for, and the keys each row must have."""

    path: Path
    split: str
    required: tuple[str, ...]


@dataclass(frozen=True)
class FileRows:
    """The rows of one file, whose responses may be blank, and what was counted."""

    split: str
    rows: Sequence[ProbeExample]
    counts: Mapping[str, int]
    missing: Sequence[MissingResponses]


def load_files(config: FilesConfig, seed: int) -> PreferenceData:
    """Read the files and apply the rules of ``ldyn.data.rows``.

    Raises DataError if a file is missing or malformed (all faults together), or if no training pair is left.
    """
    path = Path(config.path).expanduser()
    train_file, test_file = find_files(path)
    files = [RowFile(train_file, "train", ("prompt", *PAIR))]
    if test_file is not None:
        files.append(RowFile(test_file, "test", ("prompt", "chosen")))
    read = read_row_files(files, config.columns)
    rows = {part.split: list(part.rows) for part in read}
    counts = Counter({f"{split}.rows_read": len(members) for split, members in rows.items()})
    for part in read:
        counts.update(part.counts)
    missing = [missing for part in read for missing in part.missing]
    version = ", ".join(f"{f.path.name} sha256:{hashlib.sha256(f.path.read_bytes()).hexdigest()}" for f in files)
    raw = RawRows(f"files:{path.name}", rows["train"], rows.get("test"), counts, missing, version)
    return assemble(raw, config, seed=seed)


def read_probe_examples(path: Path) -> dict[str, list[ProbeExample]]:
    """Split -> the probe examples of its file, to be scored and not trained on: a row needs a prompt and any response.

    ``path`` is a directory as above, or one file, whose split is its name without "probe_". Rows without a response are
    skipped; blank prompts and responses are kept, so that the encoder drops and counts them. Raises DataError if a file
    is missing or malformed, or if nothing is left to score.
    """
    read = read_row_files(probe_files(path))
    if not any(text.strip() for part in read for one in part.rows for text in one.responses.values()):
        raise DataError(
            f"{path} has no response to score; expected rows with a prompt and some of the keys "
            f"{', '.join(PROBE_FAMILIES)}."
        )
    return {part.split: [one for one in part.rows if one.responses] for part in read}


def probe_files(path: Path) -> list[RowFile]:
    """The files of a probe set, of which a row needs a prompt only. Raises DataError if there is none."""
    train_file, test_file = find_files(path)
    files = [(train_file.name.partition(".")[0].removeprefix("probe_"), train_file)]
    files += [("test", test_file)] if test_file else []
    return [RowFile(file, split, ("prompt",)) for split, file in files]


def find_files(path: Path) -> tuple[Path, Path | None]:
    """The training file and, if there is one, the test file behind ``dataset.path``."""
    if path.is_file():
        return path, None
    expected = " or ".join(train for train, _ in DIR_STEMS)
    if not path.is_dir():
        raise DataError(
            f"dataset.path: no such file or directory: {path} (looked for {path.absolute()}). Pass a file "
            f"({_SUFFIXES}) or a directory with a file called {expected}."
        )
    for train, test in DIR_STEMS:
        if (train_file := _only_file(path, train)) is not None:
            return train_file, _only_file(path, test)
    found = ", ".join(sorted(entry.name for entry in path.iterdir())[:_NAMES_SHOWN]) or "nothing"
    raise DataError(
        f"dataset.path: the directory {path} holds {found}; expected a file called {expected} ({_SUFFIXES}). Rename "
        "the file with the training rows, or pass it itself."
    )


def _only_file(directory: Path, stem: str) -> Path | None:
    found = [directory / f"{stem}{suffix}" for suffix in READERS if (directory / f"{stem}{suffix}").is_file()]
    if len(found) > 1:
        names = " and ".join(file.name for file in found)
        raise DataError(f"dataset.path: the directory {directory} holds {names}; expected one of them. Pass it itself.")
    return found[0] if found else None


def read_row_files(files: Sequence[RowFile], columns: Columns | None = None) -> list[FileRows]:
    """Read every file; raises one DataError with the faults of all of them."""
    read: list[FileRows] = []
    faults: list[str] = []
    for file in files:
        try:
            read.append(_read(file, columns))
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
    return read


def _read(file: RowFile, columns: Columns | None) -> FileRows:
    faults = RowFaults(file.path)
    records = read_table(file.path, faults)
    rows, counts = read_rows(records, faults, split=file.split, required=file.required, given=columns)
    first: dict[str, int] = {}
    for number, row in rows.items():
        if first.setdefault(row.example_id, number) != number:
            faults.add("repeated_id", number, repr(row.example_id))
    faults.raise_if_any(records)
    missing = []
    for probe in PROBE_FAMILIES:
        without = [number for number, row in rows.items() if probe not in row.responses]
        if 0 < len(without) < len(rows):
            missing.append(MissingResponses(file.split, probe, len(without), len(rows), file.path.name, without[0]))
    return FileRows(file.split, list(rows.values()), counts, missing)
