"""`ldyn judge`, top to bottom: the answers, the judge, the verdicts, what they come to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldyn import __version__
from ldyn.answers.pairwise.answers import contests_between, read_answers
from ldyn.answers.pairwise.contest import Contest, Judgement, PairJudge, judge_contests
from ldyn.answers.pairwise.result import PairwiseResult, summarise
from ldyn.data.seeding import draw, seeded_random
from ldyn.store.directory import plain
from ldyn.store.files import write_atomically

JUDGEMENTS_FILE, RESULT_FILE = "judgements.jsonl", "judge.json"


@dataclass(frozen=True)
class Question:
    """What `ldyn judge` was asked: whose answers (a, b), of which mode and splits, and where the result goes.

    examples: at most so many contests, drawn by the seed (None: all). difference: see ``PairwiseResult``.
    """

    a: str
    b: str
    out: Path
    mode: str = "greedy"
    splits: tuple[str, ...] | None = None
    examples: int | None = None
    seed: int = 0
    difference: float = 0.05


def find_contests(question: Question) -> tuple[list[Contest], dict[str, int]]:
    """The contests to judge, and how many answers have no counterpart. Raises DataError where there are none."""
    answers_a, answers_b = read_answers(question.a, question.mode), read_answers(question.b, question.mode)
    contests, alone = contests_between(answers_a, answers_b)
    if question.splits is not None:
        contests = [contest for contest in contests if contest.split in question.splits]
    drawn, _ = draw(contests, question.examples, seeded_random(question.seed, "judge"))
    return drawn, alone


def run_judge(
    question: Question, judge: PairJudge, contests: Sequence[Contest], alone: dict[str, int]
) -> PairwiseResult:
    """Judge the contests, and write ``judgements.jsonl`` and ``judge.json`` into ``question.out``."""
    judgements = judge_contests(judge, contests)
    names = (question.a, question.b)
    result = summarise(names, judge.name, judgements, unanswered=alone, difference=question.difference)
    lines = [json.dumps(_row(judgement), ensure_ascii=False) + "\n" for judgement in judgements]
    write_atomically(question.out / JUDGEMENTS_FILE, "".join(lines).encode("utf-8", errors="replace"))
    content = {"ldyn": __version__, "seed": question.seed, **result.as_object()}
    write_atomically(question.out / RESULT_FILE, (json.dumps(plain(content), indent=1) + "\n").encode())
    return result


def _row(judgement: Judgement) -> dict[str, Any]:
    """One line of judgements.jsonl; ``a_first`` and ``b_first`` are the two verdicts, as names of sides."""
    contest = judgement.contest
    a_first, b_first = judgement.preferences
    return {
        "split": contest.split,
        "example_id": contest.example_id,
        "mode": contest.mode,
        "sample": contest.sample,
        "prompt": contest.prompt,
        "a": contest.a.text,
        "b": contest.b.text,
        "outcome": judgement.outcome,
        "a_first": a_first,
        "b_first": b_first,
        "said_a_first": judgement.forward.said,
        "said_b_first": judgement.backward.said,
    }
