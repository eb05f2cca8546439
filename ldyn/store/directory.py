"""The directory of one run: ``<name>.partial`` while it is written, ``<name>`` once everything in it is final."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import math
import os
import shutil
import uuid
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldyn.errors import RunDirectoryError
from ldyn.store.files import PARTIAL_SUFFIX, TEMPORARY_FILES, explained, sync_directory, write_atomically

if TYPE_CHECKING:
    import pandas as pd

LATEST = "latest"
LOCK_FILE = ".lock"
TRAJECTORIES_FILE, TRAIN_LOG_FILE = "trajectories.parquet", "train_log.parquet"
PARTS_DIR = "parts"


class RunDirectory:
    """The one writer of a run's directory. Made by ``create`` or ``reopen``; holds a lock until published or freed.

    The lock belongs to the process (POSIX), so a killed run leaves none behind and worker processes do not inherit it.
    """

    def __init__(self, final: Path):
        self.final = final
        self.path = partial_path(final)
        self._lock = _lock(self.path)

    @classmethod
    def create(cls, final: Path) -> RunDirectory:
        """Make ``<final>.partial``. Raises RunDirectoryError where either name is taken."""
        if final.name == LATEST or final.name.endswith(PARTIAL_SUFFIX):
            reserved = f"'{LATEST}' and names ending in '{PARTIAL_SUFFIX}' are reserved"
            raise RunDirectoryError(f"A run cannot be called '{final.name}': {reserved}. Choose another name.")
        if final.exists() or final.is_symlink():
            another = "choose another run name, or move that directory away"
            raise RunDirectoryError(f"{final} holds a finished run, and a run is never overwritten: {another}.")
        partial = partial_path(final)
        with explained(partial):
            partial.mkdir(parents=True, exist_ok=True)
            is_empty = all(entry.name == LOCK_FILE for entry in partial.iterdir())  # or killed before it wrote anything
        if not is_empty and not is_being_written(partial):
            resume = f"resume it with `ldyn train ... resume={partial}`"
            another = "choose another run name, or delete that directory"
            raise RunDirectoryError(f"{partial} is an unfinished run: {resume}, {another}.")
        return cls(final)

    @classmethod
    def reopen(cls, path: Path) -> RunDirectory:
        """Open an unfinished run to continue it; ``path`` is given with or without the suffix ``.partial``."""
        final = final_path(path)
        if partial_path(final).is_dir():
            directory = cls(final)
            directory._drop_leftovers()
            return directory
        if final.is_dir():
            look = f"Look at it with `ldyn report {final}`, or start a run of another name"
            raise RunDirectoryError(f"{final} is finished: there is nothing to resume. {look}.")
        unfinished = sorted(entry.name for entry in final.parent.glob(f"*{PARTIAL_SUFFIX}"))
        others = f"Unfinished runs in {final.parent}: {', '.join(unfinished[-8:]) or 'none'}"
        raise RunDirectoryError(f"There is no unfinished run {partial_path(final)}. {others}.")

    def write_json(self, name: str, content: Any) -> None:
        """Write ``content`` (dataclasses, mappings, sequences, numbers) as JSON; numbers not finite become null."""
        text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
        self.write_text(name, text + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a UTF-8 text file of the run atomically."""
        write_atomically(self.path / name, text.encode("utf-8"))

    def write_table(self, name: str, frame: pd.DataFrame) -> None:
        """Write ``<name>.parquet``, a table besides the trajectories; readers find it in ``Run.tables``."""
        from ldyn.store.schema import frame_to_bytes  # here: directories are named and found without pandas

        write_atomically(self.path / f"{name}.parquet", frame_to_bytes(frame))

    def publish(self) -> Path:
        """Give the directory its final name, point the sibling link ``latest`` to it, and return the final path."""
        if self.final.exists():
            move = f"Move that directory away, then resume the run with `ldyn train ... resume={self.path}`"
            raise RunDirectoryError(f"{self.final} was made by another process while the run was written. {move}.")
        self._drop_leftovers()
        manifest = self.path / "manifest.json"
        if manifest.exists():
            content = json.loads(manifest.read_text(encoding="utf-8"))
            self.write_json(manifest.name, {**content, "table_hashes": table_hashes(self.path)})
        _point_latest_to(self.final)  # before the rename: a run killed here is resumed, and nothing repairs it later
        (self.path / LOCK_FILE).unlink(missing_ok=True)
        with explained(self.path):
            self.path.rename(self.final)
            sync_directory(self.final.parent)
        self.path = self.final
        self.free()
        # Only now: until the rename, a resumed run may still need the parts. What a crash leaves of them is ignored.
        if (self.final / TRAJECTORIES_FILE).exists():
            shutil.rmtree(self.final / PARTS_DIR, ignore_errors=True)
        return self.final

    def _drop_leftovers(self) -> None:
        """Delete what a killed process left: half-written files, and checkpoints of stages that have their weights."""
        for path in self.path.rglob(TEMPORARY_FILES):
            path.unlink(missing_ok=True)
        for weights in self.path.glob("checkpoints/*/final"):
            for checkpoint in weights.parent.glob("checkpoint-*"):
                shutil.rmtree(checkpoint, ignore_errors=True)

    def has_results(self) -> bool:
        """Whether anything was measured or trained."""
        return any(next(self.path.glob(files), None) for files in (f"{PARTS_DIR}/*", "checkpoints/*", "*.parquet"))

    def discard(self) -> None:
        """Delete the unfinished run, and the directory above it where it is empty then."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            self.final.parent.rmdir()
        self.free()

    def free(self) -> None:
        """Release the lock, so that another process can continue this run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def table_hashes(directory: Path) -> dict[str, str]:
    """Path within the run directory -> sha256, of every table: Parquet files (but parts) and samples.jsonl."""
    tables = [*directory.glob("*.parquet"), *directory.glob("samples.jsonl")]
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(tables)
    }


def changed_tables(directory: Path, manifest: Mapping[str, Any]) -> list[str]:
    """One message for each table of a finished run that is not what it was then."""
    if "table_hashes" not in manifest:
        return []
    before, now = manifest["table_hashes"], table_hashes(directory)
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return [f"{directory / name} was changed, added or removed after the run finished" for name in changed]


def partial_path(final: Path) -> Path:
    """Where the run ``final`` lives until it is published."""
    return final.with_name(final.name + PARTIAL_SUFFIX)


def final_path(path: Path) -> Path:
    """The final name of the run at ``path``, which may carry the suffix ``.partial``."""
    return path.with_name(path.name.removesuffix(PARTIAL_SUFFIX))


def plain(content: Any) -> Any:
    """``content`` as what JSON knows: dataclasses as objects, paths as text, numbers that are not finite as None."""
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        content = {field.name: getattr(content, field.name) for field in dataclasses.fields(content)}
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain(value) for value in content]
    if isinstance(content, Path):
        return str(content)
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def _try_lock(partial: Path, flags: int) -> int | None:
    """A descriptor that holds the run's lock; None where the file system has no locks.

    Raises BlockingIOError where another process holds it. The process that holds it must not call this: closing any
    descriptor of the file would lose the lock.
    """
    descriptor = os.open(partial / LOCK_FILE, flags, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, (BlockingIOError, PermissionError)):
            raise BlockingIOError from None
        return None
    return descriptor


def _lock(partial: Path) -> int | None:
    """The lock of the writer, with its process id in it; raises RunDirectoryError where another process has it."""
    with explained(partial):
        try:
            descriptor = _try_lock(partial, os.O_RDWR | os.O_CREAT)
        except BlockingIOError:
            advice = "Wait for it, stop it, or choose another name"
            raise RunDirectoryError(f"{partial} is being written by another process. {advice}.") from None
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor


def is_being_written(partial: Path) -> bool:
    """Whether another process holds the run's lock, where the file system has locks."""
    try:
        descriptor = _try_lock(partial, os.O_RDWR)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    if descriptor is not None:
        os.close(descriptor)
    return False


def _point_latest_to(final: Path) -> None:
    link = final.with_name(LATEST)
    fresh = final.with_name(f".{LATEST}-{uuid.uuid4().hex}")  # unique, as several runs of a sweep may end together
    try:
        fresh.symlink_to(final.name, target_is_directory=True)
        fresh.replace(link)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        warnings.warn(f"{link} could not be made to point to {final}: {error}", stacklevel=3)
