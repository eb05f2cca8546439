"""The run directory: its writer, its table of trajectories, and its reader. Nothing here imports torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ldyn.store.directory import RunDirectory
from ldyn.store.files import PARTIAL_SUFFIX

if TYPE_CHECKING:
    from ldyn.store.reader import Run, read_run
    from ldyn.store.store import TrajectoryStore

__all__ = ["PARTIAL_SUFFIX", "Run", "RunDirectory", "TrajectoryStore", "read_run"]

_WITH_TABLES = {"Run": "reader", "read_run": "reader", "TrajectoryStore": "store"}


def __getattr__(name: str) -> Any:
    """Import what works on tables only on use: directories are found without pandas, which takes a while."""
    if name not in _WITH_TABLES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_TABLES[name]}"), name)
