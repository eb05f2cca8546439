"""Preference data and probe sets from local files: JSON lines, JSON, CSV, Parquet; the paper's probe files too.

A row has ``prompt`` and any of the probe keys of ``ldyn.records.PROBE_FAMILIES``, and an optional ``id``; other columns
are ignored and counted. The prompt may be absent where chosen and rejected begin with it, see ``ldyn.data.layouts``.
Each training row is a training pair and a train probe; each test row is a test probe.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from ldyn.data.columns import Columns, column_faults
from ldyn.data.encoder import EncodingConfig
from ldyn.data.layouts import PAIR, Reason, Row
from ldyn.data.row_reading import Expected, RowFaults, read_rows
from ldyn.data.rows import AUTOMATIC, RawRows, Selection, SplitRules, assemble
from ldyn.data.tables import READERS, read_table
from ldyn.errors import DataError
from ldyn.records import PROBE_FAMILIES, MissingResponses, PreferenceData, ProbeExample

DIR_STEMS = (("probe_train", "probe_test"), ("train", "test"))
_SUFFIXES = f"{', '.join(suffix for suffix in READERS if not suffix.endswith('.gz'))}, or text with .gz"
_NAMES_SHOWN = 5
REPEATED_ID = Reason("with the id of an earlier row", "give each row its own id")


@dataclass(frozen=True)
class FilesConfig:
    """Where the rows are and how many train.

    path: one file, or a directory with the files probe_train and probe_test, or train and test, of any of the suffixes.
    columns: which column holds what, for instance {prompt: question, chosen: good}; not needed for columns with our
    names.
    n_train, selection, n_held_out: see ``ldyn.data.rows.SplitRules``; without a test file rows are held out.
    """

    path: str
    source: Literal["files", "jsonl"] = "files"  # stored runs of earlier versions have "jsonl"
    columns: Columns | None = None
    n_train: Annotated[int, Gt(0)] | None = None
    selection: Selection = "drawn"
    n_held_out: Annotated[int, Ge(0)] | Literal["auto"] = AUTOMATIC
    encoding: EncodingConfig = field(default_factory=EncodingConfig)

    def __post_init__(self) -> None:
        if faults := column_faults(self.columns or {}):
            raise ValueError(f"columns: {'; '.join(faults)}")


@dataclass(frozen=True)
class RowFile:
    """A file to read: the split its rows are for, the keys each row must have, and whether ids must be unique."""

    path: Path
    split: str
    required: tuple[str, ...]
    unique_ids: bool = True
    columns: Columns = field(default_factory=dict)


@dataclass(frozen=True)
class FileRows:
    """The rows of one file, and what was counted."""

    split: str
    rows: Sequence[Row]
    counts: Mapping[str, int]
    missing: Sequence[MissingResponses]


def load_files(config: FilesConfig, seed: int) -> PreferenceData:
    """Read the files and apply the rules of ``ldyn.data.rows``.

    Raises DataError if a file is missing or malformed (all faults together), or if no training pair is left.
    """
    path = Path(config.path).expanduser()
    train_file, test_file = find_files(path)
    columns = config.columns or {}
    files = [RowFile(train_file, "train", ("prompt", *PAIR), columns=columns)]
    if test_file is not None:
        files.append(RowFile(test_file, "test", ("prompt", "chosen"), columns=columns))
    read = read_row_files(files)
    rows = {part.split: list(part.rows) for part in read}
    counts = Counter({f"{split}.rows_read": len(members) for split, members in rows.items()})
    for part in read:
        counts.update(part.counts)
    missing = [missing for part in read for missing in part.missing]
    version = ", ".join(f"{file.path.name} sha256:{_sha256(file.path)}" for file in files)
    raw = RawRows(f"files:{path.name}", rows["train"], rows.get("test"), counts, missing, version)
    rules = SplitRules(config.n_train, None, config.selection, config.n_held_out)
    return assemble(raw, rules, separator=config.encoding.separator, seed=seed)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_probe_examples(path: Path) -> dict[str, list[ProbeExample]]:
    """Split -> the probe examples of its file, to be scored and not trained on: a row needs a prompt and any response.

    ``path`` is a directory as above, or one file, whose split is its name without "probe_". Rows without a response are
    skipped; blank prompts and responses are kept, so that the encoder drops and counts them. Raises DataError if a file
    is missing or malformed, or if nothing is left to score.
    """
    read = read_row_files(probe_files(path))
    examples: dict[str, list[ProbeExample]] = {
        part.split: [ProbeExample(one.row_id, one.prompt, one.responses, one.turns, one.sampled) for one in part.rows]
        for part in read
    }
    if not any(text.strip() for members in examples.values() for one in members for text in one.responses.values()):
        raise DataError(
            f"{path} has no response to score; expected rows with a prompt and some of the keys "
            f"{', '.join(PROBE_FAMILIES)}."
        )
    return {split: [one for one in members if one.responses] for split, members in examples.items()}


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


def read_row_files(files: Sequence[RowFile]) -> list[FileRows]:
    """Read every file; raises one DataError with the faults of all of them."""
    read: list[FileRows] = []
    faults: list[str] = []
    for file in files:
        try:
            read.append(_read(file))
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
    return read


def _read(file: RowFile) -> FileRows:
    faults = RowFaults(file.path)
    table = read_table(file.path, faults)
    read = read_rows(table, Expected(file.split, file.required, file.columns), faults)
    first: dict[str, int] = {}
    for number, row in read.rows.items():
        if first.setdefault(row.row_id, number) != number and file.unique_ids:
            faults.add(REPEATED_ID, number, repr(row.row_id))
    faults.raise_if_any(table.n_rows)
    missing = []
    for probe in PROBE_FAMILIES:
        without = [number for number, row in read.rows.items() if probe not in row.responses]
        if 0 < len(without) < table.n_rows:
            missing.append(MissingResponses(file.split, probe, len(without), table.n_rows, file.path.name, without[0]))
    return FileRows(file.split, list(read.rows.values()), read.counts, missing)
