"""The result of a comparison for a terminal."""

from __future__ import annotations

import math

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ldyn.answers.pairwise.result import Lengths, PairwiseResult
from ldyn.answers.pairwise.statistics import Rate
from ldyn.data.text import one_line

_NAME_WIDTH = 70


def result_table(result: PairwiseResult) -> Table:
    """Names, win rates with 95 % intervals, what the judge did, and lengths."""
    table = Table(title="Whose answers win", title_justify="left", box=SIMPLE_HEAD, show_header=False)
    table.add_column("what", no_wrap=True)
    table.add_column("value", overflow="fold")
    for what, value in _lines(result):
        table.add_row(what, escape(one_line(value, 200)))
    return table


def _lines(result: PairwiseResult) -> list[tuple[str, str]]:
    judged = result.n_contests - result.unjudged
    return [
        ("a", one_line(result.a, _NAME_WIDTH)),
        ("b", one_line(result.b, _NAME_WIDTH)),
        ("judge", result.judge),
        ("answers", f"{result.mode}, {result.n_contests} pairs on {result.n_questions} questions{_alone(result)}"),
        ("a wins", f"{_rate(result.win_rate)}   ties are half a win"),
        ("at equal length", _rate(result.at_equal_length.rate) + "   logistic regression on the length difference"),
        ("verdicts", f"{result.wins} for a, {result.losses} for b, {result.ties} ties, {result.unjudged} unread"),
        ("orders disagree", f"{result.orders_disagree} of {judged}, counted as ties"),
        ("first preferred", f"{_rate(result.first_preferred)}   1/2 if the order of the answers does not matter"),
        *_bounds(result),
        ("length of a", _length(result.lengths_a)),
        ("length of b", _length(result.lengths_b)),
        ("can be seen", f"a difference of {result.seen:.3f} from 1/2, with this number of questions"),
        (
            "would be needed",
            f"{result.needed:,} questions to see a difference of {result.difference:g} (power 80 %, no ties)",
        ),
    ]


def _alone(result: PairwiseResult) -> str:
    a, b = result.unanswered["only_a"], result.unanswered["only_b"]
    return f"; only a answers {a} more, only b {b} more" if a or b else ""


def _bounds(result: PairwiseResult) -> list[tuple[str, str]]:
    if not result.unjudged:
        return []
    return [("with the unread", f"a wins {result.at_worst:.3f} to {result.at_best:.3f}, whoever won those")]


def _rate(rate: Rate) -> str:
    return "–" if math.isnan(rate.value) else str(rate)


def _length(lengths: Lengths) -> str:
    tokens = "" if lengths.tokens is None else f", {lengths.tokens:.1f} tokens"
    return f"{lengths.characters:.1f} characters, {lengths.words:.1f} words{tokens}"
