"""Preference data by ``datasets``, from the hub or from a local copy: Anthropic HH, UltraFeedback, or any other set.

Records are read by ``ldyn.data.layouts``, rows selected by ``ldyn.data.rows``. An unusable row is dropped and counted;
where most rows are unusable, that is an error.
"""

from __future__ import annotations

import hashlib
import re
import sys
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from ldyn.data.layouts import Layout
from ldyn.data.local_files import FilesConfig, load_files
from ldyn.data.row_reading import RowFaults, read_rows
from ldyn.data.rows import AUTOMATIC, RawRows, RowsConfig, assemble
from ldyn.errors import DataError
from ldyn.records import PreferenceData, ProbeExample

if TYPE_CHECKING:
    from datasets import Dataset

_READ = ("system", "prompt", "chosen", "rejected")
_MOST_UNUSABLE = 0.5
_TRAIN_NAMES = ("train", "train_prefs", "train_preference", "training")
_TEST_NAMES = ("test", "test_prefs", "test_preference", "validation", "valid", "eval", "dev")
_REASON_LENGTH = 300
_SECONDS_TO_ANSWER = 5


@dataclass(frozen=True)
class HubConfig(RowsConfig):
    """Which data set, and how its rows are laid out; see ``RowsConfig`` for the rest.

    name, subset, data_dir, revision: as on the hub. When a run begins, a branch name is resolved to its commit, and
    "auto" splits to their names (``pinned``): a resumed run reads the same rows.
    path: a local copy in the same layout to read instead (a directory of json, jsonl, csv or parquet files, or one
    written by save_to_disk), or a directory with the paper's probe files, which are read as by dataset=files.
    layout: see ``ldyn.data.layouts``.
    train_split, test_split: "auto" finds train and test (or similar names); without a test split (null) questions are
    held out.
    max_rows: read the first rows of each split only; they are streamed, so that a large set is not downloaded whole.
    n_corpus: at most so many documents for a base.
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
    max_rows: Annotated[int, Gt(0)] | None = None
    n_train: Annotated[int, Gt(0)] | None = field(default=5000, kw_only=True)
    n_corpus: Annotated[int, Ge(0)] = 20_000

    @property
    def title(self) -> str:
        """Name, part and revision."""
        part = "".join(f"/{part}" for part in (self.subset, self.data_dir) if part)
        return f"{self.name}{part} (local copy)" if self.path else f"{self.name}{part}@{self.revision or 'main'}"

    @property
    def directory(self) -> Path | None:
        return Path(self.path).expanduser() if self.path else None

    def arguments(self) -> dict[str, Any]:
        directory = self.directory
        if directory is None:
            return {"path": self.name, "name": self.subset, "data_dir": self.data_dir, "revision": self.revision}
        has_part = self.data_dir is not None and (directory / self.data_dir).is_dir()
        return {"path": str(directory), "name": self.subset, "data_dir": self.data_dir if has_part else None}


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
    config = replace(config, revision=_pinned_revision(config))
    train, test = find_splits(config, config.train_split, config.test_split)
    return replace(config, train_split=train, test_split=test)


def _has_probe_files(config: HubConfig) -> bool:
    return config.directory is not None and (config.directory / "probe_train.jsonl").is_file()


def _rows_of_split(split: str, name: str, config: HubConfig, counts: Counter[str]) -> list[ProbeExample]:
    records = dict(enumerate(read_split(config, name, max_rows=config.max_rows)))
    faults = RowFaults(f"The split {name!r} of {config.title}")
    how: dict[str, Any] = {"given": config.columns, "layout": config.layout, "names": _READ, "id_format": "row-{:05d}"}
    rows, counted = read_rows(records, faults, split=split, required=_READ[1:], **how)
    dropped = {reason: len(numbers) for reason, numbers in faults.of_rows.items()}
    if sum(dropped.values()) > _MOST_UNUSABLE * len(records):
        faults.raise_if_any(records)
    counts[f"{split}.rows_read"] = len(records)
    counts.update(counted)
    counts.update({f"{split}.dropped_{reason}": number for reason, number in dropped.items()})
    return list(rows.values())


# --------------------------------------------------------------------------------------------------------------
# By ``datasets``


def _pinned_revision(config: HubConfig) -> str | None:
    """The current commit of the set's revision; the revision itself if it is one or the hub cannot be reached.

    Without network this sets their offline mode: they then read their cache at once instead of trying for a minute.
    """
    if config.path:
        return config.revision
    import datasets
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    try:
        info = huggingface_hub.HfApi().dataset_info(config.name, revision=config.revision, timeout=_SECONDS_TO_ANSWER)
    except HfHubHTTPError:  # an answer: loading reports it better
        return config.revision
    except Exception:  # noqa: BLE001 (whatever the client raises where nobody answers)
        datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
        return config.revision
    return config.revision if is_commit(config.revision) else info.sha or config.revision


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit hash, which never changes its meaning."""
    return revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def find_splits(config: HubConfig, train: str, test: str | None) -> tuple[str, str | None]:
    """The names of the splits; AUTOMATIC looks for them. Raises DataError where there is no such split."""
    if AUTOMATIC not in (train, test) and not config.path:
        return train, test  # needs no request
    from datasets import get_dataset_split_names, load_from_disk

    with _explained(config, "the splits of"):
        arguments = config.arguments()
        subset = arguments.pop("name")
        if _is_saved(config):
            names = list(load_from_disk(arguments["path"]))
        else:
            names = get_dataset_split_names(config_name=subset, **arguments)
    if train == AUTOMATIC:
        only = names[0] if len(names) == 1 and names[0] not in _TEST_NAMES else ""
        train = next((name for name in _TRAIN_NAMES if name in names), only)
    if test == AUTOMATIC:
        test = next((name for name in _TEST_NAMES if name in names and name != train), None)
    for setting, split in (("train_split", train), ("test_split", test)):
        if split is not None and split not in names:
            raise DataError(
                f"{config.title}: found the splits {', '.join(names)}, expected {split or 'one to train on'}; set "
                f"dataset.{setting} to one of them{' (or null, to hold out questions)' if split == test else ''}."
            )
    return train, test


def read_split(config: HubConfig, split: str, *, max_rows: int | None = None) -> Dataset:
    """The rows of a split. Raises DataError if the set cannot be loaded.

    The first ``max_rows`` rows are streamed, and stored where the revision is a commit: a resumed run needs no network.
    """
    from datasets import Dataset, disable_progress_bars, load_dataset, load_from_disk
    from datasets.config import HF_DATASETS_CACHE

    key = hashlib.sha256(repr((config.arguments(), split, max_rows)).encode()).hexdigest()[:16]
    if not sys.stderr.isatty():
        disable_progress_bars()
    with _explained(config, f"split {split!r} of"):
        if _is_saved(config):
            rows = load_from_disk(config.arguments()["path"])[split]
        elif max_rows is None or config.path is not None:
            rows = load_dataset(**config.arguments(), split=split)
        elif (kept := Path(HF_DATASETS_CACHE) / "ldyn_first_rows" / key).is_dir():
            rows = load_from_disk(str(kept))
        else:
            streamed: Iterable[Any] = load_dataset(**config.arguments(), split=split, streaming=True).take(max_rows)
            rows = Dataset.from_list(list(streamed))
            if is_commit(config.revision):
                building = kept.with_name(f"{kept.name}.{uuid.uuid4().hex}")
                rows.save_to_disk(str(building))
                with suppress(OSError):  # another process was first
                    building.rename(kept)
        return rows.select(range(min(len(rows), max_rows or len(rows))))


def _is_saved(config: HubConfig) -> bool:
    return config.directory is not None and (config.directory / "dataset_dict.json").is_file()


@contextmanager
def _explained(config: HubConfig, what: str) -> Iterator[None]:
    if config.directory is not None and not config.directory.is_dir():
        raise DataError(
            f"{config.directory.absolute()} is not a directory; expected a directory with a copy of {config.name}; "
            "correct dataset.path (for a file of your own rows: dataset=files)."
        )
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(_cannot_load(config, what, error)) from error


def _cannot_load(config: HubConfig, what: str, error: Exception) -> str:
    from huggingface_hub import constants

    cause = error.__cause__ or error
    reason = f"{type(cause).__name__}: {' '.join(str(cause).split())[:_REASON_LENGTH]}"
    if config.path:
        return f"Could not read {what} {config.path}: {reason}. Expected a copy of {config.name}."
    if constants.HF_HUB_OFFLINE:
        return (
            f"Could not load {what} {config.name}: the hub cannot be reached (or HF_HUB_OFFLINE is set) and the cache "
            "has no copy. Connect to the network, set dataset.path to a local copy, or use dataset=microworld."
        )
    return (
        f"Could not load {what} {config.name} from the hub: {reason}. Expected its name and splits as on the hub (a "
        "gated set needs `hf auth login`); or set dataset.path to a local copy."
    )
