"""Directorys that are complete or absent: built under a lock, moved into place at once, checked file by file when read.

A cache entry is a directory with a file of checksums, which is written last. An entry that was damaged later, or that
something else left incomplete, is noticed, named in a warning and built again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ldyn.errors import ModelError

CHECKSUMS = "checksums.json"
_log = logging.getLogger(__name__)


def cached_directory(entry: Path, build: Callable[[Path], None]) -> bool:
    """Make sure that ``entry`` exists and is intact; call ``build`` on an empty directory where it is not.

    Returns whether it was there already. Two processes that ask for one entry build it once: the second one waits.
    Raises ModelError when the directory cannot be written.
    """
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with _locked(entry):
            if _is_intact(entry):
                return True
            _build(entry, build)
            return False
    except OSError as error:
        raise ModelError(
            f"The base model cannot be kept in {entry.parent}: {error}. "
            "Free some room there, or choose another directory with cache_dir=<directory>."
        ) from error


def find_damage(entry: Path) -> str | None:
    """The first thing that is wrong with an existing entry, in words; None when it is intact."""
    try:
        checksums = json.loads((entry / CHECKSUMS).read_text(encoding="utf-8"))
        names = dict(checksums).items()
    except (OSError, ValueError, TypeError):
        return f"{CHECKSUMS} is missing or unreadable"
    for name, expected in names:
        file = entry / name
        if not file.is_file():
            return f"{name} is missing"
        if _sha256(file) != expected:
            return f"{name} is not what was written"
    return None


@contextmanager
def _locked(entry: Path) -> Iterator[None]:
    lock = FileLock(f"{entry}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("Another process is building %s; waiting for it.", entry.name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _is_intact(entry: Path) -> bool:
    if not entry.exists():
        return False
    damage = find_damage(entry)
    if damage is not None:
        _log.warning("The cached base model %s is damaged (%s); building it again.", entry, damage)
    return damage is None


def _build(entry: Path, build: Callable[[Path], None]) -> None:
    """Build beside the entry and move; whatever an earlier attempt or damage left behind is removed."""
    building = entry.with_name(f"{entry.name}.building")
    for leftover in (building, entry):
        if leftover.exists():
            shutil.rmtree(leftover)
    building.mkdir()
    build(building)
    files = sorted(file for file in building.rglob("*") if file.is_file())
    checksums = {str(file.relative_to(building)): _sha256(file) for file in files}
    (building / CHECKSUMS).write_text(json.dumps(checksums, indent=1), encoding="utf-8")
    building.rename(entry)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
