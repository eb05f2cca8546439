"""The directory of one run: ``<name>.partial`` while it is written, ``<name>`` once everything in it is final."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import os
import shutil
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldyn.errors import RunDirectoryError
from ldyn.store.files import explained, sync_directory, write_atomically
from ldyn.store.layout import PARTS_DIR, TRAJECTORIES_FILE

if TYPE_CHECKING:
    import pandas as pd

PARTIAL_SUFFIX = ".partial"
LATEST = "latest"
LOCK_FILE = ".lock"


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
        """Make ``<final>.partial``. Raises RunDirectoryError where either name is taken, saying how to go on."""
        if final.name == LATEST or final.name.endswith(PARTIAL_SUFFIX):
            reserved = f"'{LATEST}' and names ending in '{PARTIAL_SUFFIX}' are reserved"
            raise RunDirectoryError(f"A run cannot be called '{final.name}': {reserved}. Choose another name.")
        if final.exists() or final.is_symlink():
            another = "choose another run name, or move that directory away"
            raise RunDirectoryError(f"{final} holds a finished run, and a run is never overwritten: {another}.")
        partial = partial_path(final)
        with explained(partial):
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                partial.mkdir()
            except FileExistsError:
                if not _is_empty(partial):
                    raise RunDirectoryError(_taken(partial)) from None
        return cls(final)

    @classmethod
    def reopen(cls, path: Path) -> RunDirectory:
        """Open an unfinished run to go on with it; ``path`` is given with or without the suffix ``.partial``."""
        final = final_path(path)
        if partial_path(final).is_dir():
            return cls(final)
        if final.is_dir():
            finished = f"{final} is finished: there is nothing to resume"
            raise RunDirectoryError(
                f"{finished}. Look at it with `ldyn report {final}`, or start a run of another name."
            )
        raise RunDirectoryError(f"There is no unfinished run {partial_path(final)}. {_neighbours(final.parent)}")

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
            move = f"Move that directory away, then go on with `ldyn train ... resume={self.path}`"
            raise RunDirectoryError(f"{self.final} was made by someone else while the run went on. {move}.")
        (self.path / LOCK_FILE).unlink(missing_ok=True)
        with explained(self.path):
            self.path.rename(self.final)
            sync_directory(self.final.parent)
        self.path = self.final
        self.free()
        # Only now: until the rename, a resumed run may still need the parts. What a crash leaves of them is ignored.
        if (self.final / TRAJECTORIES_FILE).exists():
            shutil.rmtree(self.final / PARTS_DIR, ignore_errors=True)
        _point_latest_to(self.final)
        return self.final

    def free(self) -> None:
        """Let another process go on with this run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def partial_path(final: Path) -> Path:
    """Where the run ``final`` lives until it is published."""
    return final.with_name(final.name + PARTIAL_SUFFIX)


def final_path(path: Path) -> Path:
    """The final name of the run at ``path``, which may carry the suffix ``.partial``."""
    return path.with_name(path.name.removesuffix(PARTIAL_SUFFIX))


def resume_note(directory: Path, next_step: str) -> str:
    """What is left of a run that did not finish, and what to do."""
    return f"What was measured so far is in {directory}; {next_step}"


def how_to_resume(directory: Path) -> str:
    """The next step after a training run that did not finish."""
    return f"go on with: ldyn train resume={directory}"


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


def _lock(partial: Path) -> int | None:
    """A lock on the directory, None where the file system has no locks; raises RunDirectoryError where another has
    it.
    """
    with explained(partial):
        descriptor = os.open(partial / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        owner = os.read(descriptor, 20).decode() or "unknown"
        os.close(descriptor)
        wait = "wait for it, or stop it before you resume"
        raise RunDirectoryError(f"{partial} is being written by another process (id {owner}): {wait}.") from None
    except OSError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def is_being_written(partial: Path) -> bool:
    """Whether a process holds the run's lock, as far as the file system tells; not to be asked by that process."""
    try:
        descriptor = os.open(partial / LOCK_FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _is_empty(partial: Path) -> bool:
    """Whether a run was killed here before it had written anything."""
    return not [entry for entry in partial.iterdir() if entry.name != LOCK_FILE]


def _taken(partial: Path) -> str:
    resume = f"go on with it by `ldyn train ... resume={partial}`"
    return f"{partial} is an unfinished run: {resume}, choose another run name, or delete that directory."


def _neighbours(parent: Path) -> str:
    names = sorted(entry.name for entry in parent.iterdir() if entry.is_dir()) if parent.is_dir() else []
    unfinished = [name for name in names if name.endswith(PARTIAL_SUFFIX)]
    return f"Unfinished runs in {parent}: {', '.join(unfinished[-8:]) or 'none'}."


def _point_latest_to(final: Path) -> None:
    link = final.with_name(LATEST)
    fresh = final.with_name(f".{LATEST}-{uuid.uuid4().hex}")  # unique, as several runs of a sweep may end together
    try:
        fresh.symlink_to(final.name, target_is_directory=True)
        fresh.replace(link)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        warnings.warn(f"The run is complete in {final}, but {link} could not be made: {error}", stacklevel=3)
