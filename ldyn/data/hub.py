"""Preference data by ``datasets``, from the hub or from a local copy: Anthropic HH, UltraFeedback, or any other set.

Records are read by ``ldyn.data.layouts``, rows selected by ``ldyn.data.rows``. An unusable row is dropped and counted;
where most rows are unusable, that is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from ldyn.data.columns import (
    Columns,
    column_faults,
    missing_columns,
    read_columns,
    unread_prompt,
    unread_prompt_columns,
)
from ldyn.data.encoder import EncodingConfig
from ldyn.data.hub_sets import HubSet, find_splits, open_split, pinned_revision
from ldyn.data.layouts import REASONS, Layout, Row, UnusableRecord, has_system, read_record, without_repeated_prompts
from ldyn.data.local_files import FilesConfig, load_files
from ldyn.data.rows import AUTOMATIC, RawRows, Selection, SplitRules, assemble
from ldyn.errors import DataError
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
        return load_files(_as_files(config, config.path), seed)
    config = pinned(config)
    counts: Counter[str] = Counter()
    train = _rows_of_split("train", config.train_split, config, counts)
    test = None if config.test_split is None else _rows_of_split("test", config.test_split, config, counts)
    raw = RawRows(config.set.title, train, test, [], counts, version=config.set.title)
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


def _as_files(config: HubConfig, path: str) -> FilesConfig:
    same = {name: getattr(config, name) for name in ("columns", "n_train", "selection", "n_held_out", "encoding")}
    return FilesConfig(path, **same)


def _rows_of_split(split: str, name: str, config: HubConfig, counts: Counter[str]) -> list[Row]:
    given = config.columns or {}
    found, records = open_split(
        config.set, name, max_rows=config.max_rows, wanted=lambda found: list(_columns(found, name, config).values())
    )
    columns = _columns(found, name, config)
    values = [{ours: record.get(column) for ours, column in columns.items()} for record in records]
    if unread := unread_prompt_columns(found, columns, given, values):
        raise DataError(f"The split {name!r} of {config.set.title} cannot be used: {unread_prompt(columns, unread)}.")
    dropped: Counter[str] = Counter()
    rows, repeated = without_repeated_prompts(list(_rows(values, config.layout, dropped)))
    counts[f"{split}.rows_read"] = len(values)
    counts.update({f"{split}.dropped_{reason}": number for reason, number in dropped.items()})
    counts[f"{split}.prompt_taken_off_answers"] += len(rows) if repeated else 0
    if dropped.total() > _MOST_UNUSABLE * len(values):
        raise DataError(_mostly_unusable(f"The split {name!r} of {config.set.title}", dropped, len(values)))
    return rows


def _columns(found: Sequence[str], name: str, config: HubConfig) -> dict[str, str]:
    """Our name -> the column of the split that holds it, of those to be read."""
    given = config.columns or {}
    columns = {ours: column for ours, column in read_columns(found, given).items() if ours in _READ}
    needed = {"chosen", "rejected"} | ({"prompt"} if given.get("prompt") else set())
    if not needed <= set(columns) or not set(columns.values()) <= set(found):
        fault = missing_columns(found, ("chosen", "rejected"), given)
        raise DataError(f"The split {name!r} of {config.set.title} cannot be used: {fault}.")
    return columns


def _rows(records: Sequence[Mapping[str, Any]], layout: Layout, dropped: Counter[str]) -> Iterator[Row]:
    with_system = any(map(has_system, records))
    for number, record in enumerate(records):
        try:
            yield read_record(f"row-{number:05d}", record, layout, with_system=with_system)
        except UnusableRecord as unusable:
            dropped[unusable.reason] += 1


def _mostly_unusable(what: str, dropped: Mapping[str, int], n_rows: int) -> str:
    faults = [f"  - {REASONS[why].rows}: {number}; {REASONS[why].next_step}" for why, number in dropped.items()]
    head = f"{what}: found {sum(dropped.values())} unusable rows of {n_rows}, expected at most half:"
    return "\n".join([head, *faults])
