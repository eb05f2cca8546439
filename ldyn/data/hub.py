"""Preference data by ``datasets``, from the hub or from a local copy: Anthropic HH, UltraFeedback, or any other set.

Records are read by ``ldyn.data.layouts``, rows selected by ``ldyn.data.rows``. An unusable row is dropped and counted;
where most rows are unusable, that is an error.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt

from ldyn.data.columns import Columns, column_faults
from ldyn.data.encoder import EncodingConfig
from ldyn.data.hub_sets import HubSet, find_splits, pinned_revision, read_split
from ldyn.data.layouts import REASONS, Layout, Reason, Row
from ldyn.data.local_files import FilesConfig, load_files
from ldyn.data.row_reading import Expected, RowFaults, Table, read_rows
from ldyn.data.rows import AUTOMATIC, RawRows, Selection, SplitRules, assemble
from ldyn.records import PreferenceData

_READ = ("system", "prompt", "chosen", "rejected")
_MOST_UNUSABLE = 0.5


@dataclass(frozen=True)
class HubConfig:
    """Which data set, how its rows are laid out, and how many of them train.

    name, subset, data_dir, revision: as on the hub. When a run begins, a branch name is resolved to its commit, and
    "auto" splits to their names (``pinned``): a resumed run reads the same rows.
    path: a local copy in the same layout to read instead (a directory of json, jsonl, csv or parquet files, or one
    written by save_to_disk), or a directory with the paper's probe files, which are read as by dataset=files.
    layout: see ``ldyn.data.layouts``. columns: see FilesConfig.
    train_split, test_split: "auto" finds train and test (or similar names); without a test split (null) questions are
    held out.
    max_rows: read the first rows of each split only; they are streamed, so that a large set is not downloaded whole.
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
    """Load both splits and apply the rules of ``ldyn.data.rows``.

    Raises DataError if the data set cannot be loaded or lacks the expected columns.
    """
    if config.path and _has_probe_files(Path(config.path).expanduser()):
        same = {name: getattr(config, name) for name in ("columns", "n_train", "selection", "n_held_out", "encoding")}
        return load_files(FilesConfig(config.path, **same), seed)
    config = pinned(config)
    counts: Counter[str] = Counter()
    train = _rows_of_split("train", config.train_split, config, counts)
    test = None if config.test_split is None else _rows_of_split("test", config.test_split, config, counts)
    raw = RawRows(config.set.title, train, test, counts, version=config.set.title)
    rules = SplitRules(config.n_train, config.n_corpus, config.selection, config.n_held_out)
    return assemble(raw, rules, separator=config.encoding.separator, seed=seed)


def pinned(config: HubConfig) -> HubConfig:
    """The configuration with the current commit of its revision, if the hub can be reached, and with its splits.

    Raises DataError where the splits cannot be found.
    """
    if config.path and _has_probe_files(Path(config.path).expanduser()):
        return config
    config = replace(config, revision=pinned_revision(config.set))
    train, test = find_splits(config.set, config.train_split, config.test_split)
    return replace(config, train_split=train, test_split=test)


def _has_probe_files(path: Path) -> bool:
    return (path / "probe_train.jsonl").is_file()


def _rows_of_split(split: str, name: str, config: HubConfig, counts: Counter[str]) -> list[Row]:
    """The usable rows; the others are dropped and counted, and an error where they are most."""
    read = list(read_split(config.set, name, max_rows=config.max_rows))
    table = Table(dict(enumerate(read)), len(read))
    faults = RowFaults(f"The split {name!r} of {config.set.title}")
    rows = read_rows(
        table, Expected(split, _READ[1:], config.columns or {}, config.layout, _READ, "row-{:05d}"), faults
    )
    dropped = {reason: len(numbers) for reason, numbers in faults.of_rows.items()}
    if sum(dropped.values()) > _MOST_UNUSABLE * len(read):
        faults.raise_if_any(len(read))
    counts[f"{split}.rows_read"] = len(read)
    counts.update(rows.counts)
    counts.update({f"{split}.dropped_{_name(reason)}": number for reason, number in dropped.items()})
    return list(rows.rows.values())


def _name(reason: Reason) -> str:
    return next((name for name, known in REASONS.items() if known == reason), "without_a_response")
