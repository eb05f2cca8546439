"""Means over the rows of samples.jsonl, for the report, JSON and a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ldyn.data.text import one_line

if TYPE_CHECKING:
    from rich.table import Table

Means = dict[str, Any]
_AS_THEY_ARE = ("n_tokens", "distinct_1", "distinct_2", "distinct_3", "repeated_4grams", "longest_loop")
_OVERLAP = ("likeness_own", "likeness_other", "nearer_another", "foreign_4grams")
COLUMNS = (*_AS_THEY_ARE, "endless", "is_right", "borrowed", *_OVERLAP)
"""n_tokens, longest_loop (words): means. All others are shares in [0, 1] or likenesses (``ldyn.answers.text_metrics``):
endless: answers cut by the limit; borrowed: answers that state the fact of another training question; nearer_another:
answers that are more like another question's training answer than like their own.
"""

_FORM = {
    "n_tokens": "tokens",
    "endless": "never stops",
    "distinct_2": "distinct-2",
    "repeated_4grams": "repeated 4-grams",
    "longest_loop": "longest loop",
}
_CONTENT = {
    "likeness_own": "like own",
    "likeness_other": "like another",
    "nearer_another": "nearer another",
    "foreign_4grams": "foreign 4-grams",
    "is_right": "right",
    "borrowed": "borrowed",
}
_NAME_WIDTH = 48
LEGEND = (
    "tokens: mean length, EOS counts; never stops: share cut by the limit; longest loop: words of the longest stretch "
    "that repeats itself. like: 2 LCS / (sum of words), with its own chosen answer and with the nearest training "
    "answer to another question; foreign 4-grams: the share that occurs in such an answer and not in its own; right, "
    "borrowed: the exact check of the microworld."
)


def summarise_samples(samples: Iterable[Mapping[str, Any]], by: Sequence[str] = ("stage", "mode")) -> list[Means]:
    """One mapping for each group of samples with equal columns ``by``, in order of appearance.

    Keys: those of ``by``, n (answers), and COLUMNS; None where nothing is known.
    """
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for sample in samples:
        groups.setdefault(tuple(str(sample[column]) for column in by), []).append(_measured(sample))
    return [
        {**dict(zip(by, of, strict=True)), "n": len(rows), **{name: _mean(name, rows) for name in COLUMNS}}
        for of, rows in groups.items()
    ]


def _measured(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of one sample by their names in COLUMNS; unknown ones are None."""
    stopped, right, own, other = (sample.get(k) for k in ("stopped", "is_right", "likeness_own", "likeness_other"))
    return {
        **sample,
        "endless": None if stopped is None else not stopped,
        "borrowed": None if right is None else sample.get("borrowed_from") is not None,
        "nearer_another": None if own is None or other is None else other > own,
    }


def _mean(name: str, rows: Sequence[Mapping[str, Any]]) -> float | None:
    known = [float(row[name]) for row in rows if row.get(name) is not None]
    return fmean(known) if known else None


def samples_tables(means: Sequence[Means], by: Sequence[str]) -> Iterator[Table]:
    """How the answers are written, and what is in them; one row for each group. Unknown columns are not shown."""
    for title, columns in (("How the answers are written (means)", _FORM), ("What is in them (means)", _CONTENT)):
        known = {name: label for name, label in columns.items() if any(one[name] is not None for one in means)}
        if known:
            yield _table(title, means, by, known)


def _table(title: str, means: Sequence[Means], by: Sequence[str], columns: Mapping[str, str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True)
    for name in by:
        table.add_column(name, overflow="fold", min_width=5)
    table.add_column("n", justify="right", no_wrap=True)
    for label in columns.values():
        table.add_column(label, justify="right", min_width=max(map(len, label.split())))
    for one in means:
        names = [escape(one_line(one[name], _NAME_WIDTH)) for name in by]
        table.add_row(*names, str(one["n"]), *(_cell(name, one[name]) for name in columns))
    return table


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if name in ("n_tokens", "longest_loop") else f"{value:.3f}"
