"""What a run leaves behind: the directory, the table of trajectories, and the reader. Nothing here imports torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ldyn.store.directory import PARTIAL_SUFFIX, RunDirectory

if TYPE_CHECKING:
    from ldyn.store.reader import Run, read_run
    from ldyn.store.store import TrajectoryStore
    from ldyn.store.token_reader import read_token_summaries, read_tokens

__all__ = [
    "PARTIAL_SUFFIX",
    "Run",
    "RunDirectory",
    "TrajectoryStore",
    "read_run",
    "read_token_summaries",
    "read_tokens",
]

_WITH_TABLES = {
    "Run": "reader",
    "read_run": "reader",
    "TrajectoryStore": "store",
    "read_token_summaries": "token_reader",
    "read_tokens": "token_reader",
}


def __getattr__(name: str) -> Any:
    """What works on tables is imported when it is asked for: directories are found without pandas, which takes a
    while.
    """
    if name not in _WITH_TABLES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_TABLES[name]}"), name)
