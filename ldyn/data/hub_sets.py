"""Data sets of the hub, or local copies, by ``datasets``: their splits, commit and records."""

from __future__ import annotations

import hashlib
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track

from ldyn.data.rows import AUTOMATIC
from ldyn.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

_TRAIN_NAMES = ("train", "train_prefs", "train_preference", "training")
_TEST_NAMES = ("test", "test_prefs", "test_preference", "validation", "valid", "eval", "dev")
_REASON_LENGTH = 300


@dataclass(frozen=True)
class HubSet:
    """A data set by its name on the hub; ``path`` is a local copy that is read instead."""

    name: str
    subset: str | None = None
    data_dir: str | None = None
    revision: str | None = None
    path: str | None = None

    @property
    def title(self) -> str:
        """Name, part and revision."""
        part = "".join(f"/{part}" for part in (self.subset, self.data_dir) if part)
        return f"{self.name}{part} (local copy)" if self.path else f"{self.name}{part}@{self.revision or 'main'}"

    @property
    def directory(self) -> Path | None:
        """The local copy, if there is one."""
        return Path(self.path).expanduser() if self.path else None

    def arguments(self) -> dict[str, Any]:
        """The arguments for ``datasets.load_dataset``."""
        directory = self.directory
        if directory is None:
            return {"path": self.name, "name": self.subset, "data_dir": self.data_dir, "revision": self.revision}
        has_part = self.data_dir is not None and (directory / self.data_dir).is_dir()
        return {"path": str(directory), "name": self.subset, "data_dir": self.data_dir if has_part else None}


def pinned_revision(hub_set: HubSet) -> str | None:
    """The current commit of the set's revision; the revision itself if it is one or the hub cannot be reached."""
    if hub_set.path or is_commit(hub_set.revision):
        return hub_set.revision
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(hub_set.name, revision=hub_set.revision).sha or hub_set.revision
    except Exception:  # noqa: BLE001 (whatever is wrong, loading reports it better)
        return hub_set.revision


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit hash, which never changes its meaning."""
    return revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def find_splits(hub_set: HubSet, train: str, test: str | None) -> tuple[str, str | None]:
    """The names of the splits; AUTOMATIC looks for them. Raises DataError where there is no such split."""
    if AUTOMATIC not in (train, test) and not hub_set.path:
        return train, test  # needs no request
    names = _split_names(hub_set)
    if train == AUTOMATIC:
        only = names[0] if len(names) == 1 and names[0] not in _TEST_NAMES else ""
        train = next((name for name in _TRAIN_NAMES if name in names), only)
    if test == AUTOMATIC:
        test = next((name for name in _TEST_NAMES if name in names and name != train), None)
    for setting, split in (("train_split", train), ("test_split", test)):
        if split is not None and split not in names:
            raise DataError(
                f"{hub_set.title}: found the splits {', '.join(names)}, expected {split or 'one to train on'}; set "
                f"dataset.{setting} to one of them{' (or null, to hold out questions)' if split == test else ''}."
            )
    return train, test


def open_split(
    hub_set: HubSet, split: str, *, max_rows: int | None, wanted: Callable[[Sequence[str]], Sequence[str]]
) -> tuple[list[str], Iterable[dict[str, Any]]]:
    """The names of all columns of a split, and its records with the columns that ``wanted`` chooses of those.

    ``wanted`` may raise DataError, before much is downloaded. Raises DataError if the set cannot be loaded.
    """
    from datasets import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    _check_directory(hub_set)
    with _explained(hub_set, f"split {split!r} of"):
        if max_rows is not None and hub_set.path is None:
            rows = _first_rows(hub_set, split, max_rows, wanted)
        else:
            rows = _all_rows(hub_set, split)
            rows = rows.select(range(min(len(rows), max_rows or len(rows))))
        return rows.column_names, list(rows.select_columns(list(wanted(rows.column_names))))


# --------------------------------------------------------------------------------------------------------------
# By ``datasets``


def _split_names(hub_set: HubSet) -> list[str]:
    from datasets import get_dataset_split_names, load_from_disk

    _check_directory(hub_set)
    arguments = hub_set.arguments()
    with _explained(hub_set, "the splits of"):
        if _is_saved(hub_set):
            return list(load_from_disk(arguments["path"]))
        return list(get_dataset_split_names(config_name=arguments.pop("name"), **arguments))


def _all_rows(hub_set: HubSet, split: str) -> Dataset:
    from datasets import load_dataset, load_from_disk

    if _is_saved(hub_set):
        return load_from_disk(hub_set.arguments()["path"])[split]
    return load_dataset(**hub_set.arguments(), split=split)


def _first_rows(hub_set: HubSet, split: str, number: int, wanted: Callable[[Sequence[str]], Sequence[str]]) -> Dataset:
    """The first rows, streamed. Those of a commit are stored, so that a resumed run needs no network."""
    from datasets import Dataset, load_from_disk

    directory = _kept_directory(hub_set, split, number)
    if directory.is_dir():
        return load_from_disk(str(directory))
    rows = Dataset.from_list(list(_streamed(hub_set, split, number, wanted)))
    if is_commit(hub_set.revision):
        building = directory.with_name(f"{directory.name}.{uuid.uuid4().hex}")
        rows.save_to_disk(str(building))
        with suppress(OSError):  # another process was first
            building.rename(directory)
    return rows


def _streamed(
    hub_set: HubSet, split: str, number: int, wanted: Callable[[Sequence[str]], Sequence[str]]
) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset

    rows = load_dataset(**hub_set.arguments(), split=split, streaming=True).take(number)
    words, console = f"{hub_set.name}, {split}", Console(stderr=True)
    shown = track(rows, words, total=number, console=console, transient=True, disable=not console.is_terminal)
    for count, row in enumerate(shown):
        if count == 0:
            wanted(list(row))
        yield row


def _kept_directory(hub_set: HubSet, split: str, number: int) -> Path:
    from datasets.config import HF_DATASETS_CACHE

    key = hashlib.sha256(repr((hub_set, split, number)).encode()).hexdigest()[:16]
    return Path(HF_DATASETS_CACHE) / "ldyn_first_rows" / key


def _is_saved(hub_set: HubSet) -> bool:
    return hub_set.directory is not None and (hub_set.directory / "dataset_dict.json").is_file()


# --------------------------------------------------------------------------------------------------------------
# Faults


def _check_directory(hub_set: HubSet) -> None:
    if hub_set.directory is not None and not hub_set.directory.is_dir():
        raise DataError(
            f"{hub_set.directory.absolute()} is not a directory; expected one with a copy of {hub_set.name}, or with "
            "the paper's probe files; correct dataset.path (for a file of your own rows: dataset=files)."
        )


@contextmanager
def _explained(hub_set: HubSet, what: str) -> Iterator[None]:
    """Turn whatever ``datasets`` raises into a DataError that says what to do."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(_cannot_load(hub_set, what, error)) from error


def _cannot_load(hub_set: HubSet, what: str, error: Exception) -> str:
    cause = error.__cause__ or error
    reason = f"{type(cause).__name__}: {' '.join(str(cause).split())[:_REASON_LENGTH]}"
    if hub_set.path:
        return f"Could not read {what} {hub_set.path}: {reason}. Expected a copy of {hub_set.name}."
    return (
        f"Could not load {what} {hub_set.name} from the hub: {reason}. Expected its name and splits as on the hub, and "
        "network access or a copy in the cache (a gated set needs `hf auth login`); without network, set dataset.path "
        "to a local copy, or use dataset=microworld."
    )
