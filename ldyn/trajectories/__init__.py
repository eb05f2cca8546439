"""What a run leaves behind: the folder, the table of trajectories, and the reader. Nothing here imports torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ldyn.trajectories.folder import PARTIAL_SUFFIX, RunFolder

if TYPE_CHECKING:
    from ldyn.trajectories.reader import Run, read_run
    from ldyn.trajectories.store import TrajectoryStore
    from ldyn.trajectories.token_reader import read_token_summaries, read_tokens

__all__ = [
    "PARTIAL_SUFFIX",
    "Run",
    "RunFolder",
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
    """What works on tables is imported when it is asked for: folders are found without pandas, which takes a while."""
    if name not in _WITH_TABLES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_TABLES[name]}"), name)
