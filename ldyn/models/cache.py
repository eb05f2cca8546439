"""The cache format of base models, and of checkpoints: directories with a file of checksums.

A cache entry is built under a lock and moved into place, so it is complete or absent. The checksums are written last
and compared when it is read. A damaged entry is reported in a warning and built again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ldyn.errors import ModelError

CHECKSUMS = "checksums.json"
_log = logging.getLogger(__name__)


def cached_directory(entry: Path, build: Callable[[Path], None]) -> bool:
    """Make sure that ``entry`` exists and is intact; call ``build`` on an empty directory where it is not.

    Returns whether it was there already. Two processes that request one entry build it once: the second one waits.
    Raises ModelError when the directory cannot be written.
    """
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{entry}.lock"):
            damage = find_damage(entry) if entry.exists() else ""
            if damage is None:
                return True
            if damage:
                _log.warning("The cache entry %s is damaged (%s); it is built again.", entry, damage)
            _build(entry, build)
            return False
    except OSError as error:
        raise ModelError(
            f"Cannot write the cache {entry.parent}: {error}. "
            "Free some space there, or choose another directory with paths.cache=DIRECTORY."
        ) from error


def write_checksums(directory: Path) -> None:
    """Write the sha256 of every file of the directory, last and atomically."""
    files = sorted(file for file in directory.rglob("*") if file.is_file() and file.name != CHECKSUMS)
    content = json.dumps({str(file.relative_to(directory)): _sha256(file) for file in files}, indent=1)
    temporary = directory / f".{CHECKSUMS}.tmp"
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(directory / CHECKSUMS)


def find_damage(directory: Path) -> str | None:
    """The first difference from what was written; None when the directory is intact."""
    try:
        checksums = json.loads((directory / CHECKSUMS).read_text(encoding="utf-8"))
        names = dict(checksums).items()
    except (OSError, ValueError, TypeError):
        return f"{CHECKSUMS} is missing or unreadable"
    for name, expected in names:
        file = directory / name
        if not file.is_file():
            return f"{name} is missing"
        if _sha256(file) != expected:
            return f"{name} has changed"
    return None


def _build(entry: Path, build: Callable[[Path], None]) -> None:
    building = entry.with_name(f"{entry.name}.building")
    for leftover in (building, entry):
        if leftover.exists():
            shutil.rmtree(leftover)
    building.mkdir()
    build(building)
    write_checksums(building)
    building.rename(entry)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
