"""Preference data from local files: JSON lines, CSV, Parquet; the paper's probe files among them.

Each training row is a training pair and a train probe; each test row is a test probe. What a row may hold is said in
``ldyn.data.row_files``, what is dropped, held out and fed to the corpus in ``ldyn.data.rows``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from ldyn.data.columns import Columns, column_faults
from ldyn.data.encoder import EncodingConfig
from ldyn.data.row_files import ReadRows, RowFile, read_row_files
from ldyn.data.rows import AUTOMATIC, RawRows, Row, Selection, SplitRules, assemble
from ldyn.data.tables import READERS
from ldyn.errors import DataError
from ldyn.records import PROBE_FAMILIES, PreferenceData, ProbeExample

DIR_STEMS = (("probe_train", "probe_test"), ("train", "test"))
_SUFFIXES = ", ".join(READERS)
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class FilesConfig:
    """Where the rows are and how many train.

    path: one file, or a directory with the files probe_train and probe_test, or train and test, of any of the suffixes.
    columns: which column of the user's holds what, {prompt: question, chosen: good} say; not needed where it is called
    as we call it. corpus_paths: further files of prompt and chosen (and rejected) rows for a from-scratch base.
    n_train, selection, n_held_out: see ``ldyn.data.rows.SplitRules``; where there is no test file rows are held out.
    """

    path: str
    source: Literal["files", "jsonl"] = "files"  # "jsonl" is what stored runs of earlier versions say
    columns: Columns | None = None
    n_train: Annotated[int, Gt(0)] | None = None
    selection: Selection = "drawn"
    n_held_out: Annotated[int, Ge(0)] | Literal["auto"] = AUTOMATIC
    corpus_paths: tuple[str, ...] = ()
    encoding: EncodingConfig = field(default_factory=EncodingConfig)

    def __post_init__(self) -> None:
        if faults := column_faults(self.columns or {}):
            raise ValueError(f"columns: {'; '.join(faults)}")


def load_files(config: FilesConfig, seed: int) -> PreferenceData:
    """Reads the files and applies the rules of ``ldyn.data.rows``.

    Raises DataError if a file is missing or malformed (all faults together), or if no training pair is left.
    """
    path = Path(config.path).expanduser()
    train_file, test_file = find_files(path)
    files = _row_files(train_file, test_file, config)
    read = read_row_files(files)
    rows = {split: _rows_of(split, read) for split in ("train", "test", "corpus")}
    counts = Counter({f"{split}.rows_read": len(members) for split, members in rows.items()})
    for part in read:
        counts.update(part.counts)
    missing = [missing for part in read if part.split != "corpus" for missing in part.missing]
    test = rows["test"] if test_file is not None else None
    version = ", ".join(f"{file.path.name} sha256:{_sha256(file.path)}" for file in files)
    raw = RawRows(f"files:{path.name}", rows["train"], test, rows["corpus"], counts, missing, version)
    rules = SplitRules(config.n_train, None, config.selection, config.n_held_out)
    return assemble(raw, rules, separator=config.encoding.separator, seed=seed)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_probe_examples(path: Path) -> dict[str, list[ProbeExample]]:
    """Split -> the probe examples of its file, to be scored and not trained on: a row needs a prompt and any response.

    ``path`` is a directory as above, or one file, whose split is its name without "probe_". Blank responses are left
    out, and so are rows without a response. Raises DataError if a file is missing or malformed, or if no example is
    left.
    """
    read = read_row_files(probe_files(path))
    examples = {part.split: list(_probe_examples(part.rows)) for part in read}
    if not any(examples.values()):
        raise DataError(
            f"{path} has no response to score; expected rows with a prompt and some of the keys "
            f"{', '.join(PROBE_FAMILIES)}."
        )
    return examples


def probe_files(path: Path, *, unique_ids: bool = True) -> list[RowFile]:
    """The files behind ``path`` as probes to be looked at: a row needs a prompt only. Raises DataError if none is."""
    train_file, test_file = find_files(path)
    files = [(train_file.stem.removeprefix("probe_"), train_file), *([("test", test_file)] if test_file else [])]
    return [RowFile(file, split, ("prompt",), unique_ids) for split, file in files]


def _probe_examples(rows: Iterable[Row]) -> Iterator[ProbeExample]:
    for row in rows:
        responses = {probe: text for probe, text in row.responses.items() if text.strip()}
        if responses and row.prompt.strip():
            yield ProbeExample(row.row_id, row.prompt, responses, row.turns)


def find_files(path: Path) -> tuple[Path, Path | None]:
    """The training file and, if there is one, the test file behind ``dataset.path``."""
    if path.is_file():
        return path, None
    expected = " or ".join(f"{train}{{{_SUFFIXES}}}" for train, _ in DIR_STEMS)
    if not path.is_dir():
        raise DataError(
            f"There is nothing at {path} (looked for {path.absolute()}); expected a file ({_SUFFIXES}) or a directory "
            f"with {expected}; set dataset.path to it."
        )
    for train, test in DIR_STEMS:
        if (train_file := _only_file(path, train)) is not None:
            return train_file, _only_file(path, test)
    found = ", ".join(sorted(entry.name for entry in path.iterdir())[:_NAMES_SHOWN]) or "nothing"
    raise DataError(
        f"The directory {path} holds {found}; expected {expected}; set dataset.path to one that has it, or to a file."
    )


def _only_file(directory: Path, stem: str) -> Path | None:
    found = [directory / f"{stem}{suffix}" for suffix in READERS if (directory / f"{stem}{suffix}").is_file()]
    if len(found) > 1:
        names = " and ".join(file.name for file in found)
        raise DataError(
            f"The directory {directory} holds {names}; expected one of them; set dataset.path to the one to read."
        )
    return found[0] if found else None


def _row_files(train: Path, test: Path | None, config: FilesConfig) -> list[RowFile]:
    files = [RowFile(train, "train", ("prompt", "chosen", "rejected"), columns=config.columns or {})]
    if test is not None:
        files.append(RowFile(test, "test", ("prompt", "chosen"), columns=config.columns or {}))
    further = (Path(path).expanduser() for path in config.corpus_paths)
    return files + [RowFile(path, "corpus", ("prompt", "chosen"), columns=config.columns or {}) for path in further]


def _rows_of(split: str, read: Sequence[ReadRows]) -> list[Row]:
    return [row for part in read if part.split == split for row in part.rows]
