"""Which column of the user's data holds what: our names, theirs, and what to say where one is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ldyn.data.display import one_line
from ldyn.records import PROBE_FAMILIES

Columns = Mapping[str, str | None]
"""Our name (id, prompt or a probe key) -> the column that holds it; None: not to be read although it is there."""

OTHER_SPELLINGS = {"rejected_gptsemantic": "reject_gptsemantic", "rejected_gptformat": "reject_gptformat"}
NAMES = ("id", "prompt", *PROBE_FAMILIES)
_ALIKE = {
    "prompt": ("question", "instruction", "query", "input", "context", "user"),
    "chosen": ("good", "better", "best", "prefer", "accept", "win", "positive"),
    "rejected": ("bad", "worse", "worst", "reject", "dispreferred", "lose", "losing", "negative"),
}
"""Words in which other data sets call our columns; used for a proposal, never to read by."""
_COLUMNS_SHOWN, _WIDTH = 20, 40


def column_faults(columns: Columns) -> list[str]:
    """What is wrong with a mapping, in words."""
    wrong = [f"{name!r} is none of our names, which are {', '.join(NAMES)}" for name in columns if name not in NAMES]
    taken = [column for column in columns.values() if column is not None]
    wrong += [f"{column!r} is given twice" for column in sorted(set(taken)) if taken.count(column) > 1]
    return wrong


def our_names(record: Mapping[str, Any], columns: Columns) -> Iterator[tuple[str, str, Any]]:
    """(our name, column, value) of each column that holds something of ours; others are left out."""
    ours = {column: name for name, column in columns.items() if column is not None}
    for column, value in record.items():
        name = ours.get(column, column)
        if column not in ours and (name := OTHER_SPELLINGS.get(column, column)) in columns:
            continue  # another column has been given this name
        if name in NAMES:
            yield name, column, value


def missing_columns(found: Sequence[str], needed: Sequence[str], columns: Columns) -> str:
    """What is said where columns are missing: what was found, and how to say which is which."""
    shown = ", ".join(one_line(name, _WIDTH) for name in found[:_COLUMNS_SHOWN]) or "none"
    more = f" and {len(found) - _COLUMNS_SHOWN} more" if len(found) > _COLUMNS_SHOWN else ""
    names = needed if "prompt" in needed else ("prompt", *needed)
    proposal = ", ".join(f"{name}: {_proposed(columns.get(name) or name, found)}" for name in names)
    return (
        f"found the columns {shown}{more}; expected {_and(needed)}; say which is which by "
        f"'dataset.columns={{{proposal}}}'"
    )


def _proposed(name: str, found: Sequence[str]) -> str:
    """The column of that name, else the only one that is called alike, else a gap for the user to fill."""
    if name in found:
        return _quoted(name)
    alike = [column for column in found if any(word in column.lower() for word in _ALIKE.get(name, ()))]
    return _quoted(alike[0]) if len(alike) == 1 else "…"


def _quoted(column: str) -> str:
    """As Hydra reads it."""
    return column if re.fullmatch(r"[A-Za-z_][\w.-]*", column) else '"' + column.replace('"', r"\"") + '"'


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
