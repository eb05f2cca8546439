"""The table ``wins``: one row for each judge, arm, moment and question, as seen from the arm's side.

    judge              as the settings name it
    arm, baseline      the preference stages (or arms of several rounds) whose answers are compared
    step, epoch        updates and passes over the pairs that both had made; 0: before preference training
    split, example_id  the question
    won                1 the arm's answer, 0 the baseline's, 1/2 a tie; NaN where a verdict could not be read
    orders_disagree    whether it is a tie because the two orders gave different verdicts
    characters_*, tokens_*             length of the answer of the arm and of the baseline (EOS counts as a token)
    right_*, borrows_*, stopped_*      1 or 0: it states the fact asked for, one of another question, it ends by itself

Where something is not known of an answer there is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ldyn.answers.pairwise.contest import GivenAnswer, Judgement

_WON = {"a": 1.0, "tie": 0.5, "b": 0.0, None: np.nan}


@dataclass(frozen=True)
class Match:
    """Two arms after the same number of updates; in contests ``arm`` is a and ``baseline`` is b."""

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
            "split": judgement.contest.split,
            "example_id": judgement.contest.example_id,
            "won": _WON[judgement.outcome],
            "orders_disagree": judgement.orders_disagree,
            **_answer_columns(judgement.contest.a, "arm"),
            **_answer_columns(judgement.contest.b, "baseline"),
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
