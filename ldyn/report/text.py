"""Durations, shares and values of the manifest as text, and Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def percent(share: float | None) -> str:
    """A share in whole percent; "–" for what is not known."""
    return "–" if share is None else f"{100 * share:.0f} %"


def duration(seconds: float) -> str:
    """Seconds below two minutes, then minutes, then hours and minutes."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def scalar(value: object) -> str:
    """A value of the manifest as text."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(scalar(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {scalar(part)}" for key, part in value.items())
    return str(value)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table; cells may hold Markdown, but no line break and no bar of their own."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)]


def _cell(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).replace("|", "\\|")
