"""``manifest.json``: code, versions, machine, time and state of a run, from its start on."""

from __future__ import annotations

import platform
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ldyn import __version__
from ldyn.errors import Interrupted, LdynError, RunDirectoryError
from ldyn.processes.signals import signals_held_back
from ldyn.store import RunDirectory

SCHEMA_VERSION = 1
PACKAGES = ("torch", "transformers", "trl", "accelerate", "datasets", "tokenizers", "numpy", "pyarrow", "hydra-core")


class Manifest:
    """The manifest of one run, rewritten atomically at every change; without a directory nothing is written."""

    def __init__(self, directory: RunDirectory | None, content: dict[str, Any]):
        self._directory, self.content = directory, content

    def update(self, **values: Any) -> None:
        """Set top-level fields and write; a mapping is merged into the mapping that is there."""
        for key, value in values.items():
            merge = isinstance(value, dict) and isinstance(self.content.get(key), dict)
            self.content[key] = {**self.content[key], **value} if merge else value
        self.content["peak_memory_mib"] = max(peak_memory_mib(), self.content.get("peak_memory_mib", 0))
        if self._directory:
            self._directory.write_json("manifest.json", self.content)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the wall time of a part of the run to ``seconds[name]``; an interrupted part counts too."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add_seconds(name, time.perf_counter() - started)
            self.update()

    def add_seconds(self, name: str, seconds: float) -> None:
        """Add to ``seconds[name]`` without writing (for parts that come back often)."""
        total = self.content.setdefault("seconds", {})
        total[name] = round(total.get(name, 0.0) + seconds, 3)


@contextmanager
def recorded(directory: RunDirectory, content: dict[str, Any], next_step: str) -> Iterator[Manifest]:
    """The manifest of a run that begins now with ``content``; an error is recorded in it and raised again.

    next_step: what a user can do after an error, added to its message.
    """
    is_new = not (directory.path / "manifest.json").exists()
    begun = {"status": "running", "started": now(), "counts": {}, "hashes": {}, "seconds": {}}
    manifest = Manifest(directory, {**begun, **content, **describe_environment()})
    manifest.update()
    try:
        yield manifest
    except BaseException as error:
        stopped = isinstance(error, (Interrupted, KeyboardInterrupt))
        if is_new and isinstance(error, LdynError) and not stopped and not directory.has_results():
            directory.discard()  # a refused input: there is nothing to resume
            raise
        with signals_held_back(), suppress(RunDirectoryError):  # the disk may be full: the first error counts
            manifest.update(status="interrupted" if stopped else "failed", error=f"{type(error).__name__}: {error}")
        found = f"What was measured so far is in {directory.path}"
        error.add_note(f"{found if directory.has_results() else 'Nothing was measured yet'}; {next_step}")
        raise


def describe_environment() -> dict[str, Any]:
    """Command line, git state of the code, versions of packages, and the machine."""
    return {
        "schema_version": SCHEMA_VERSION,
        "command": " ".join([Path(sys.argv[0]).name, *map(shlex.quote, sys.argv[1:])]),
        "git": git_state(),
        "versions": {"ldyn": __version__, "python": platform.python_version(), **installed_versions()},
        "machine": {"platform": platform.platform(), "processor": platform.machine()},
    }


def installed_versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}


def git_state() -> dict[str, Any]:
    """Commit of the checkout that this code runs from and whether it had changes; nulls where it is installed."""
    root = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str | None:
        command = ["git", "-C", str(root), *words]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    commit = git("rev-parse", "HEAD") if (root / ".git").exists() else None
    return {"commit": commit, "dirty": bool(git("status", "--porcelain")) if commit else None}


def peak_memory_mib() -> int:
    """The most resident memory this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 if sys.platform != "darwin" else 1024**2)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
