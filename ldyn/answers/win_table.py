"""Win rates as a table for a terminal, and the rows of a run's table ``wins``.

``wins`` has one row for each judge, arm, evaluation step and question, from the arm's side:

    judge              as the settings name it
    arm, baseline      the preference stages (or arms of several rounds) whose answers are compared
    step, epoch        updates and passes over the pairs that both had made; 0: before preference training
    split, example_id  the question
    won                1 the arm's answer, 0 the baseline's, 1/2 a tie; NaN where a verdict could not be read
    orders_disagree    whether it is a tie because the two orders gave different verdicts
    characters_*, tokens_*             length of the answer of the arm and of the baseline (EOS counts as a token)
    right_*, borrows_*, stopped_*      1 or 0: it states the fact asked for, one of another question, it ends by itself

NaN where something is not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ldyn.answers.comparison import GivenAnswer, Judgement
from ldyn.answers.win_rates import OUTCOMES, Lengths, Rate, WinRates
from ldyn.data.text import one_line

if TYPE_CHECKING:
    from rich.table import Table

_NAME_WIDTH = 70


def result_table(result: WinRates) -> Table:
    """For a terminal: names, win rates with 95 % intervals, what the judge did, and lengths."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    title = "Win rate of a over b, judged in both orders"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_header=False)
    table.add_column("what", no_wrap=True)
    table.add_column("value", overflow="fold")
    for what, value in _lines(result):
        table.add_row(what, escape(one_line(value, 200)))
    return table


def _lines(result: WinRates) -> list[tuple[str, str]]:
    judged = result.n_comparisons - result.unjudged
    return [
        ("a", one_line(result.a, _NAME_WIDTH)),
        ("b", one_line(result.b, _NAME_WIDTH)),
        ("judge", result.judge),
        ("answers", f"{result.mode}, {result.n_comparisons} pairs on {result.n_questions} questions{_alone(result)}"),
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


def _alone(result: WinRates) -> str:
    a, b = result.unanswered["only_a"], result.unanswered["only_b"]
    return f"; only a answers {a} more, only b {b} more" if a or b else ""


def _bounds(result: WinRates) -> list[tuple[str, str]]:
    if not result.unjudged:
        return []
    return [("with the unread", f"a wins {result.at_worst:.3f} to {result.at_best:.3f}, whoever won those")]


def _rate(rate: Rate) -> str:
    return "–" if math.isnan(rate.value) else str(rate)


def _length(lengths: Lengths) -> str:
    tokens = "" if lengths.tokens is None else f", {lengths.tokens:.1f} tokens"
    return f"{lengths.characters:.1f} characters, {lengths.words:.1f} words{tokens}"


@dataclass(frozen=True)
class Match:
    """Two arms after the same number of updates; in a comparison ``arm`` is a and ``baseline`` is b."""

    arm: str
    baseline: str
    step: int
    epoch: float


def win_rows(match: Match, judge: str, judgements: Sequence[Judgement]) -> list[dict[str, Any]]:
    """The rows of one judge's judgements on one match."""
    return [
        {
            "judge": judge,
            "arm": match.arm,
            "baseline": match.baseline,
            "step": match.step,
            "epoch": match.epoch,
            "split": judgement.comparison.split,
            "example_id": judgement.comparison.example_id,
            "won": np.nan if judgement.outcome is None else OUTCOMES[judgement.outcome],
            "orders_disagree": judgement.orders_disagree,
            **_answer_columns(judgement.comparison.a, "arm"),
            **_answer_columns(judgement.comparison.b, "baseline"),
        }
        for judgement in judgements
    ]


def _answer_columns(answer: GivenAnswer, side: str) -> dict[str, float]:
    known = {
        "characters": len(answer.text),
        "tokens": answer.n_tokens,
        "right": answer.is_right,
        "borrows": answer.borrows,
        "stopped": answer.stopped,
    }
    return {f"{name}_{side}": np.nan if value is None else float(value) for name, value in known.items()}
