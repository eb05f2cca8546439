"""Writing a file so that a crash at any moment leaves the old content or the new one, never a piece of it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ldyn.errors import RunDirectoryError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def write_atomically(path: Path, content: bytes, writer: str = "") -> None:
    """Write ``content`` beside ``path``, force it to the disk, then put it in the place of ``path``.

    ``writer`` tells apart those who may write the same path at the same time; a run's directory has one writer only.
    Raises RunDirectoryError when the disk is full or the place cannot be written; ``path`` is then as it was before.
    """
    # The name is fixed, so what a killed process left is overwritten by the next attempt: one writer for each run.
    temporary = path.with_name(f".{path.name}{writer}.tmp")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_through(temporary, content)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)  # gives back the little room that the failed attempt took
            raise
        sync_directory(path.parent)


def append_durably(path: Path, content: bytes) -> None:
    """Append ``content`` to ``path`` and force it to the disk; only the last line can be torn by a crash."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())


def sync_directory(directory: Path) -> None:
    """Make a rename inside ``directory`` survive a power failure, where the file system can promise that."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems do not sync directories
            raise
    finally:
        os.close(descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError while writing ``path`` into a RunDirectoryError that says what to do next."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(_explanation(path, error)) from error


def _explanation(path: Path, error: OSError) -> str:
    begun = (one for one in (path, *path.parents) if one.name.endswith(".partial") and one.is_dir())
    run = next(begun, None)
    safe = f"go on with `ldyn train ... resume={run}`: what was scored before is safe in {run}"
    after = f"then {safe if run else 'start the run again'}."
    if error.errno in NO_ROOM:
        room = f"{_free_mebibytes(path)} MiB are free"
        return f"No room on the disk to write {path} ({room}). Free some space on it (old runs' checkpoints), {after}"
    return f"Could not write {path}: {error.strerror or error}. Make the place writable, {after}"


def _free_mebibytes(path: Path) -> int:
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    return shutil.disk_usage(existing).free // 2**20


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
