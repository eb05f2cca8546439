"""Means of samples as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ldyn.answers.summary import SampleMeans
from ldyn.data.text import one_line

_NAME_WIDTH = 48
FORM = {
    "n_tokens": "tokens",
    "endless": "never stops",
    "distinct_2": "distinct-2",
    "repeated_4grams": "repeated 4-grams",
    "longest_loop": "longest loop",
}
CONTENT = {
    "likeness_own": "like own",
    "likeness_other": "like another",
    "nearer_another": "nearer another",
    "foreign_4grams": "foreign 4-grams",
    "is_right": "right",
    "borrowed": "borrowed",
}
_COUNTS = ("n_tokens", "longest_loop")
LEGEND = (
    "tokens: mean length, EOS counts; never stops: share cut by the limit; longest loop: words of the longest stretch "
    "that repeats itself. like: 2 LCS / (sum of words), with its own chosen answer and with the nearest training "
    "answer to another question; foreign 4-grams: the share that stands in such an answer and not in its own; right, "
    "borrowed: the exact check of the microworld."
)


def samples_tables(means: Sequence[SampleMeans], names: Sequence[str]) -> Iterator[Table]:
    """How the answers are written, and what is in them; one row for each group, ``names`` are what it was grouped by.

    What is known of no group has no column.
    """
    for title, columns in (("How the answers are written (means)", FORM), ("What is in them (means)", CONTENT)):
        known = {name: label for name, label in columns.items() if any(asdict(one)[name] is not None for one in means)}
        if known:
            yield _table(title, means, names, known)


def _table(title: str, means: Sequence[SampleMeans], names: Sequence[str], columns: Mapping[str, str]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True)
    for name in names:
        table.add_column(name, overflow="fold", min_width=5)
    table.add_column("n", justify="right", no_wrap=True)
    for label in columns.values():
        table.add_column(label, justify="right", min_width=max(map(len, label.split())))
    for one in means:
        own = [escape(one_line(text, _NAME_WIDTH)) for text in one.of]
        values = asdict(one)
        table.add_row(*own, str(one.n), *(_cell(name, values[name]) for name in columns))
    return table


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if name in _COUNTS else f"{value:.3f}"
