"""Data sets of the hub, or local copies, by ``datasets``: their splits, commit and records."""

from __future__ import annotations

import hashlib
import re
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldyn.data.rows import AUTOMATIC
from ldyn.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

_TRAIN_NAMES = ("train", "train_prefs", "train_preference", "training")
_TEST_NAMES = ("test", "test_prefs", "test_preference", "validation", "valid", "eval", "dev")
_REASON_LENGTH = 300
_SECONDS_TO_ANSWER = 5


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
    """The current commit of the set's revision; the revision itself if it is one or the hub cannot be reached.

    Without network the libraries are told so: they then read their cache at once instead of trying for a minute.
    """
    if hub_set.path:
        return hub_set.revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        info = HfApi().dataset_info(hub_set.name, revision=hub_set.revision, timeout=_SECONDS_TO_ANSWER)
    except HfHubHTTPError:  # an answer: loading reports it better
        return hub_set.revision
    except Exception:  # noqa: BLE001 (whatever the client raises where nobody answers)
        _go_offline()
        return hub_set.revision
    return hub_set.revision if is_commit(hub_set.revision) else info.sha or hub_set.revision


def _go_offline() -> None:
    import datasets
    import huggingface_hub

    datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit hash, which never changes its meaning."""
    return revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def find_splits(hub_set: HubSet, train: str, test: str | None) -> tuple[str, str | None]:
    """The names of the splits; AUTOMATIC looks for them. Raises DataError where there is no such split."""
    if AUTOMATIC not in (train, test) and not hub_set.path:
        return train, test  # needs no request
    from datasets import get_dataset_split_names, load_from_disk

    with _explained(hub_set, "the splits of"):
        arguments = hub_set.arguments()
        is_saved = _is_saved(hub_set)
        subset = arguments.pop("name")
        names = (
            load_from_disk(arguments["path"]) if is_saved else get_dataset_split_names(config_name=subset, **arguments)
        )
        names = list(names)
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


def read_split(hub_set: HubSet, split: str, *, max_rows: int | None = None) -> Dataset:
    """The rows of a split. Raises DataError if the set cannot be loaded.

    The first ``max_rows`` rows are streamed, and stored where the revision is a commit: a resumed run needs no network.
    """
    from datasets import Dataset, disable_progress_bars, load_dataset, load_from_disk

    if not sys.stderr.isatty():
        disable_progress_bars()
    with _explained(hub_set, f"split {split!r} of"):
        if _is_saved(hub_set):
            rows = load_from_disk(hub_set.arguments()["path"])[split]
        elif max_rows is None or hub_set.path is not None:
            rows = load_dataset(**hub_set.arguments(), split=split)
        elif (kept := _kept_directory(hub_set, split, max_rows)).is_dir():
            rows = load_from_disk(str(kept))
        else:
            streamed: Iterable[Any] = load_dataset(**hub_set.arguments(), split=split, streaming=True).take(max_rows)
            rows = Dataset.from_list(list(streamed))
            if is_commit(hub_set.revision):
                building = kept.with_name(f"{kept.name}.{uuid.uuid4().hex}")
                rows.save_to_disk(str(building))
                with suppress(OSError):  # another process was first
                    building.rename(kept)
        return rows.select(range(min(len(rows), max_rows or len(rows))))


def _kept_directory(hub_set: HubSet, split: str, number: int) -> Path:
    from datasets.config import HF_DATASETS_CACHE

    key = hashlib.sha256(repr((hub_set, split, number)).encode()).hexdigest()[:16]
    return Path(HF_DATASETS_CACHE) / "ldyn_first_rows" / key


def _is_saved(hub_set: HubSet) -> bool:
    return hub_set.directory is not None and (hub_set.directory / "dataset_dict.json").is_file()


@contextmanager
def _explained(hub_set: HubSet, what: str) -> Iterator[None]:
    """Turn whatever ``datasets`` raises into a DataError that says what to do."""
    if hub_set.directory is not None and not hub_set.directory.is_dir():
        raise DataError(
            f"{hub_set.directory.absolute()} is not a directory; expected a directory with a copy of {hub_set.name}; "
            "correct dataset.path (for a file of your own rows: dataset=files)."
        )
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(_cannot_load(hub_set, what, error)) from error


def _cannot_load(hub_set: HubSet, what: str, error: Exception) -> str:
    from huggingface_hub import constants

    cause = error.__cause__ or error
    reason = f"{type(cause).__name__}: {' '.join(str(cause).split())[:_REASON_LENGTH]}"
    if hub_set.path:
        return f"Could not read {what} {hub_set.path}: {reason}. Expected a copy of {hub_set.name}."
    if constants.HF_HUB_OFFLINE:
        return (
            f"Could not load {what} {hub_set.name}: the hub cannot be reached (or HF_HUB_OFFLINE is set) and the cache "
            "has no copy. Connect to the network, set dataset.path to a local copy, or use dataset=microworld."
        )
    return (
        f"Could not load {what} {hub_set.name} from the hub: {reason}. Expected its name and splits as on the hub (a "
        "gated set needs `hf auth login`); or set dataset.path to a local copy."
    )
