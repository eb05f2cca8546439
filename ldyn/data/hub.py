"""Preference data by ``datasets``, from the hub or from a local copy: Anthropic HH, UltraFeedback, or any other set.

The forms of records are those of ``ldyn.data.formats``, the rules of what becomes what those of ``ldyn.data.rows``. A
row that cannot be taken apart is dropped and counted: a set of others is not for its reader to correct.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from ldyn.data.columns import Columns, column_faults, missing_columns, our_names
from ldyn.data.encoder import EncodingConfig
from ldyn.data.files import FilesConfig, load_files
from ldyn.data.formats import Layout, UnusableRecord, take_apart
from ldyn.data.hub_sets import HubSet, find_splits, open_split, pinned_revision
from ldyn.data.rows import AUTOMATIC, RawRows, Row, Selection, SplitRules, assemble
from ldyn.errors import DataError
from ldyn.records import PreferenceData

_READ = ("prompt", "chosen", "rejected")


@dataclass(frozen=True)
class HubConfig:
    """Which data set, how its rows are laid out, and how many of them train.

    name, subset, data_dir, revision: as on the hub. A revision that is no commit is resolved when a run begins, and so
    are the splits (``pinned``): the same run reads the same rows whenever it is taken up again.
    path: a local copy in the same layout to read instead (a directory of json, jsonl, csv or parquet files, or one
    written by save_to_disk), or a directory with the paper's probe files, which are then read as dataset=files reads
    them. layout: see ``ldyn.data.formats``. columns: see FilesConfig.
    train_split, test_split: "auto" takes train and test (or what is called alike); without test split (null) questions
    are held out.
    max_rows: at most so many rows of each split are read, the first ones; they are streamed, so that no more of a large
    set than these is downloaded. None: every row, downloaded once and kept by ``datasets``.
    n_train, n_corpus, selection, n_held_out: see ``ldyn.data.rows.SplitRules``.
    """

    name: str
    layout: Layout = "auto"
    train_split: str = AUTOMATIC
    test_split: str | None = AUTOMATIC
    source: Literal["hub"] = "hub"
    subset: str | None = None
    data_dir: str | None = None
    revision: str | None = None
    path: str | None = None
    columns: Columns | None = None
    max_rows: Annotated[int, Gt(0)] | None = None
    n_train: Annotated[int, Gt(0)] = 5000
    n_corpus: Annotated[int, Ge(0)] = 20_000
    selection: Selection = "drawn"
    n_held_out: Annotated[int, Ge(0)] | Literal["auto"] = AUTOMATIC
    encoding: EncodingConfig = field(default_factory=EncodingConfig)

    def __post_init__(self) -> None:
        if faults := column_faults(self.columns or {}):
            raise ValueError(f"columns: {'; '.join(faults)}")

    @property
    def set(self) -> HubSet:
        """Where the rows are."""
        return HubSet(self.name, self.subset, self.data_dir, self.revision, self.path)


def load_hub(config: HubConfig, seed: int) -> PreferenceData:
    """Loads both splits and applies the rules of ``ldyn.data.rows``.

    Raises DataError if the data set cannot be loaded or lacks the expected columns.
    """
    if config.path and _has_probe_files(Path(config.path).expanduser()):
        return load_files(_as_files(config, config.path), seed)
    config = pinned(config)
    counts: Counter[str] = Counter()
    train = _rows_of_split("train", config.train_split, config, counts)
    test = None if config.test_split is None else _rows_of_split("test", config.test_split, config, counts)
    raw = RawRows(config.set.title, train, test, [], counts, version=config.set.title)
    rules = SplitRules(config.n_train, config.n_corpus, config.selection, config.n_held_out)
    return assemble(raw, rules, separator=config.encoding.separator, seed=seed)


def pinned(config: HubConfig) -> HubConfig:
    """The configuration with the commit that its revision stands for now, if the hub can be asked, and its splits.

    Raises DataError where the splits are to be looked for and cannot be.
    """
    if config.path and _has_probe_files(Path(config.path).expanduser()):
        return config
    config = replace(config, revision=pinned_revision(config.set))
    train, test = find_splits(config.set, config.train_split, config.test_split)
    return replace(config, train_split=train, test_split=test)


def _has_probe_files(path: Path) -> bool:
    return (path / "probe_train.jsonl").is_file()


def _as_files(config: HubConfig, path: str) -> FilesConfig:
    same = {name: getattr(config, name) for name in ("columns", "n_train", "selection", "n_held_out", "encoding")}
    return FilesConfig(path, **same)


def _rows_of_split(split: str, name: str, config: HubConfig, counts: Counter[str]) -> list[Row]:
    records = open_split(config.set, name, max_rows=config.max_rows, wanted=lambda found: _wanted(found, name, config))
    return list(_rows(split, records, config, counts))


def _wanted(found: Sequence[str], name: str, config: HubConfig) -> list[str]:
    """The columns to read of those that a split has."""
    given = config.columns or {}
    columns = {ours: column for ours, column, _ in our_names(dict.fromkeys(found), given) if ours in _READ}
    needed = {"chosen", "rejected"} | ({"prompt"} if given.get("prompt") else set())
    if not needed <= set(columns):
        said = missing_columns(found, ("chosen", "rejected"), given)
        raise DataError(f"The split {name!r} of {config.set.title} cannot be used: {said}.")
    return list(columns.values())


def _rows(split: str, records: Iterable[dict[str, Any]], config: HubConfig, counts: Counter[str]) -> Iterator[Row]:
    for number, record in enumerate(records):
        counts[f"{split}.rows_read"] += 1
        values = {ours: value for ours, _, value in our_names(record, config.columns or {})}
        try:
            parts = take_apart(values, config.layout)
        except UnusableRecord as unusable:
            counts[f"{split}.dropped_{unusable.reason}"] += 1
        else:
            yield Row(f"row-{number:05d}", parts.prompt, parts.responses, parts.turns)
