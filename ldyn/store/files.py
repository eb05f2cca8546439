"""Write a file so that a crash leaves the old content or the new one, never a piece of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ldyn.errors import RunDirectoryError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
PARTIAL_SUFFIX = ".partial"
TEMPORARY_FILES = ".*.tmp"
"""What a killed process leaves of files that it was writing."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, force it to the disk, then put it in the place of ``path``.

    Several processes may write the same path. Missing directories are made, but never that of a run.
    Raises RunDirectoryError when the disk is full or the place cannot be written; ``path`` is then as it was before.
    """
    temporary = f".{path.name}.{uuid.uuid4().hex[:12]}.tmp"
    with explained(path):
        make_directories(path.parent)
        parent = os.open(path.parent, os.O_RDONLY)  # the same directory until the end, also if it is renamed meanwhile
        try:
            _write_through(temporary, content, parent)
            os.replace(temporary, path.name, src_dir_fd=parent, dst_dir_fd=parent)
            sync_directory(parent)
        except OSError:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=parent)  # gives back the little room that the failed attempt took
            raise
        finally:
            os.close(parent)


def _write_through(name: str, content: bytes, directory: int) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=directory)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def append_durably(path: Path, content: bytes) -> None:
    """Append ``content`` to ``path`` and force it to the disk; only the last line can be torn by a crash."""
    with explained(path):
        make_directories(path.parent)
        with path.open("ab") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())


def make_directories(directory: Path) -> None:
    """Make a directory and those above it, but for a run directory: it may have been renamed or deleted meanwhile."""
    if directory.is_dir():
        return
    if directory.name.endswith(PARTIAL_SUFFIX):
        raise FileNotFoundError(errno.ENOENT, "the run directory is gone", str(directory))
    make_directories(directory.parent)
    directory.mkdir(exist_ok=True)


def sync_directory(directory: Path | int) -> None:
    """Make a rename inside a directory survive a power failure, where the file system can promise that."""
    descriptor = os.open(directory, os.O_RDONLY) if isinstance(directory, Path) else directory
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems do not sync directories
            raise
    finally:
        if isinstance(directory, Path):
            os.close(descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError while writing ``path`` into a RunDirectoryError with the next step."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(_explanation(path, error)) from error


def _explanation(path: Path, error: OSError) -> str:
    run = next((one for one in (path, *path.parents) if one.name.endswith(PARTIAL_SUFFIX)), None)
    if run and not run.is_dir() and (final := run.with_name(run.name.removesuffix(PARTIAL_SUFFIX))).is_dir():
        return f"{path} was not written, because the run has finished meanwhile. Repeat the command with {final}."
    safe = f"resume the run with `ldyn train ... resume={run}`: what was scored before is safe in {run}"
    after = f"then {safe if run and run.is_dir() else 'start the run again'}."
    if error.errno in NO_ROOM:
        existing = next(parent for parent in path.absolute().parents if parent.exists())
        room = f"{shutil.disk_usage(existing).free // 2**20} MiB are free"
        return f"No room on the disk to write {path} ({room}). Free some space on it (old runs' checkpoints), {after}"
    return f"Could not write {path}: {error.strerror or error}. Make the place writable, {after}"


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """One JSON object a line; half a surrogate pair, which has no UTF-8, becomes "?"."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", errors="replace")
