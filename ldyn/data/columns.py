"""Which column of a data set holds what: as the user maps it, by our names, or by a known layout."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ldyn.data.text import one_line
from ldyn.records import PROBE_FAMILIES

Columns = Mapping[str, str | None]
"""Our name (id, system, prompt or a probe key) -> the column that holds it; None: ignore the column of that name."""

OTHER_SPELLINGS = {"rejected_gptsemantic": "reject_gptsemantic", "rejected_gptformat": "reject_gptformat"}
NAMES = ("id", "system", "prompt", *PROBE_FAMILIES)
PROMPT_COLUMNS = ("question", "instruction", "conversations")
"""Columns that hold the prompt in known layouts (Orca's pairs, Alpaca's, ShareGPT's), where none is called prompt."""
_ALIKE = {
    "prompt": ("prompt", "question", "instruction", "query", "input", "context", "user", "conversation", "message"),
    "chosen": ("good", "better", "best", "prefer", "accept", "win", "positive"),
    "rejected": ("bad", "worse", "worst", "reject", "dispreferred", "lose", "losing", "negative"),
}
"""Words in other data sets' names of our columns: for proposals and warnings, never to read by."""
_NOT_TEXT = re.compile(r"(?i)(^|_)(id|ids|idx|index|len|length|tokens|num|count|score|source|type|hash)$")
_COLUMNS_SHOWN, _WIDTH = 20, 40


def column_faults(columns: Columns) -> list[str]:
    wrong = [f"{name!r} is unknown; expected one of {', '.join(NAMES)}" for name in columns if name not in NAMES]
    taken = [column for column in columns.values() if column is not None]
    return wrong + [f"{column!r} is given twice" for column in sorted(set(taken)) if taken.count(column) > 1]


def read_columns(found: Sequence[str], given: Columns) -> dict[str, str]:
    """Our name -> column, for the columns ``found`` and the user's mapping ``given``."""
    columns = {name: column for name, column in given.items() if column is not None}
    free = [column for column in found if column not in columns.values()]
    for column in sorted(free, key=lambda name: name in OTHER_SPELLINGS):
        name = OTHER_SPELLINGS.get(column, column)
        if name in NAMES and name not in given:
            columns.setdefault(name, column)
    known = [column for column in free if column in PROMPT_COLUMNS]
    if "prompt" not in columns and "prompt" not in given and {"chosen", "rejected"} <= set(columns) and len(known) == 1:
        columns["prompt"] = known[0]
    return {name: columns[name] for name in NAMES if name in columns}


def unread_prompt(
    found: Sequence[str], columns: Mapping[str, str], given: Columns, records: Sequence[Mapping[str, Any]]
) -> str:
    """The error where a column is called like a prompt and not read; empty if none is, or something settles the prompt.

    Settled it is by the user, a column called prompt, or messages. records: the values by our names.
    """
    if "prompt" in given or columns.get("prompt") == "prompt":
        return ""
    if "prompt" not in columns and not all(isinstance(record.get("chosen"), str) for record in records[:1]):
        return ""
    unread = [column for column in found if column not in columns.values() and not _NOT_TEXT.search(column)]
    unread = [column for column in unread if any(word in column.lower() for word in _ALIKE["prompt"])]
    if not unread:
        return ""
    read, other = "the prompt would be what chosen and rejected begin with", "prompt: null"
    if "prompt" in columns:
        read, other = f"the prompt would be {columns['prompt']} alone", f"prompt: {_quoted(columns['prompt'])}"
    return (
        f"found the unread column {_shown(unread)}, which may hold the prompt, while {read}; set "
        f"'dataset.columns={{prompt: {_quoted(unread[0])}}}', or 'dataset.columns={{{other}}}' to ignore it"
    )


def missing_columns(found: Sequence[str], needed: Sequence[str], columns: Columns) -> str:
    """The error where columns are missing: what was found, and how to map it."""
    names = needed if "prompt" in needed else ("prompt", *needed)
    proposal = ", ".join(f"{name}: {_proposed(columns.get(name) or name, found)}" for name in names)
    expected = f"found the columns {_shown(found)}; expected {', '.join(needed)}"
    return f"{expected}; map them by 'dataset.columns={{{proposal}}}'"


def _shown(columns: Sequence[str]) -> str:
    shown = ", ".join(one_line(name, _WIDTH) for name in columns[:_COLUMNS_SHOWN]) or "none"
    return shown + (f" and {len(columns) - _COLUMNS_SHOWN} more" if len(columns) > _COLUMNS_SHOWN else "")


def _proposed(name: str, found: Sequence[str]) -> str:
    """The column of that name, else the only one that is called alike, else a gap for the user to fill."""
    alike = [column for column in found if any(word in column.lower() for word in _ALIKE.get(name, ()))]
    if name in found or len(alike) == 1:
        return _quoted(name if name in found else alike[0])
    return "…"


def _quoted(column: str) -> str:
    return column if re.fullmatch(r"[A-Za-z_][\w.-]*", column) else '"' + column.replace('"', r"\"") + '"'
