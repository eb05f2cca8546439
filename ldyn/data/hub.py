"""Preference data by ``datasets``, from the hub or from a local copy: Anthropic HH, UltraFeedback, or any other set.

Records are read by ``ldyn.data.layouts``, rows selected by ``ldyn.data.rows``. An unusable row is dropped and counted;
where most rows are unusable, that is an error.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace

from ldyn.data.hub_sets import HubConfig, find_splits, pinned_revision, read_split
from ldyn.data.local_files import FilesConfig, load_files
from ldyn.data.row_reading import RowFaults, read_rows
from ldyn.data.rows import RawRows, RowsConfig, assemble
from ldyn.records import PreferenceData, ProbeExample

_READ = ("system", "prompt", "chosen", "rejected")
_MOST_UNUSABLE = 0.5


def load_hub(config: HubConfig, seed: int) -> PreferenceData:
    """Load both splits and apply the rules of ``ldyn.data.rows``.

    Raises DataError if the data set cannot be loaded or lacks the expected columns.
    """
    if config.path and _has_probe_files(config):
        rules = {one.name: getattr(config, one.name) for one in fields(RowsConfig)}
        return load_files(FilesConfig(config.path, **rules), seed)
    config = pinned(config)
    counts: Counter[str] = Counter()
    train = _rows_of_split("train", config.train_split, config, counts)
    test = None if config.test_split is None else _rows_of_split("test", config.test_split, config, counts)
    raw = RawRows(config.title, train, test, counts, version=config.title)
    return assemble(raw, config, seed=seed, n_corpus=config.n_corpus)


def pinned(config: HubConfig) -> HubConfig:
    """The configuration with the current commit of its revision, if the hub can be reached, and with its splits.

    Raises DataError where the splits cannot be found.
    """
    if _has_probe_files(config):
        return config
    config = replace(config, revision=pinned_revision(config))
    train, test = find_splits(config, config.train_split, config.test_split)
    return replace(config, train_split=train, test_split=test)


def _has_probe_files(config: HubConfig) -> bool:
    return config.directory is not None and (config.directory / "probe_train.jsonl").is_file()


def _rows_of_split(split: str, name: str, config: HubConfig, counts: Counter[str]) -> list[ProbeExample]:
    """The usable rows; the others are dropped and counted, and an error where they are most."""
    records = dict(enumerate(read_split(config, name, max_rows=config.max_rows)))
    faults = RowFaults(f"The split {name!r} of {config.title}")
    rows, counted = read_rows(
        records,
        faults,
        split=split,
        required=_READ[1:],
        given=config.columns,
        layout=config.layout,
        names=_READ,
        id_format="row-{:05d}",
    )
    dropped = {reason: len(numbers) for reason, numbers in faults.of_rows.items()}
    if sum(dropped.values()) > _MOST_UNUSABLE * len(records):
        faults.raise_if_any(records)
    counts[f"{split}.rows_read"] = len(records)
    counts.update(counted)
    counts.update({f"{split}.dropped_{reason}": number for reason, number in dropped.items()})
    return list(rows.values())
