"""The body of `ldyn judge`: find the comparisons, judge them, write judgements.jsonl and judge.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ldyn import __version__
from ldyn.answers.api_model import ApiModel, requests_left
from ldyn.answers.chat_judge import ChatJudge, compare_template, requests_of
from ldyn.answers.chats import AnswerCache, Progress
from ldyn.answers.comparison import Comparison, Judgement, in_both_orders, judge_comparisons, pair_answers, read_answers
from ldyn.answers.judges import find_judge
from ldyn.answers.settings import API, JudgeConfig
from ldyn.answers.win_rates import WinRates, summarise
from ldyn.data.seeding import draw, seeded_random
from ldyn.errors import DataError, RunDirectoryError
from ldyn.store.directory import plain
from ldyn.store.files import json_lines, write_atomically

JUDGEMENTS_FILE, RESULT_FILE = "judgements.jsonl", "judge.json"


def judge_answers(config: JudgeConfig, report: Callable[[str], None], progress: Progress | None = None) -> WinRates:
    """Judge, and write the judgements and the win rates into ``config.out``; ``report`` gets the number of requests.

    Raises an LdynError where answers or judge cannot be had, before anything is asked.
    """
    if (config.out / RESULT_FILE).exists() and not config.overwrite:
        raise RunDirectoryError(f"{config.out / RESULT_FILE} exists already; set another out, or overwrite=true.")
    comparisons, alone = _comparisons(config)
    judge = find_judge(
        config.judge, AnswerCache(config.cache), api=config.api, template=config.template, progress=progress
    )
    judgements = judge_comparisons(judge, comparisons)
    if isinstance(judge, ChatJudge) and isinstance(judge.model, ApiModel):
        report(f"Asked: {judge.model.n_sent:,} requests")
    rates = summarise((config.a, config.b), judge.name, judgements, alone)
    write_atomically(config.out / JUDGEMENTS_FILE, json_lines(map(_row, judgements)))
    content = {"ldyn": __version__, "seed": config.seed, **asdict(rates)}
    write_atomically(config.out / RESULT_FILE, (json.dumps(plain(content), indent=1) + "\n").encode())
    return rates


def plan_judging(config: JudgeConfig) -> list[str]:
    """What ``judge_answers`` would ask, in lines for a terminal; asks nothing."""
    comparisons, _ = _comparisons(config)
    lines = [f"{len(comparisons):,} pairs of answers, each judged in both orders"]
    if config.judge == API and config.api is not None:
        requests = requests_of(compare_template(config.template), in_both_orders(comparisons))
        left = requests_left(config.api, AnswerCache(config.cache), requests)
        lines.append(f"{left:,} of {len(set(requests)):,} requests are to be sent; {config.cache} answers the others")
    return lines


def _comparisons(config: JudgeConfig) -> tuple[list[Comparison], dict[str, int]]:
    comparisons, alone = pair_answers(read_answers(config.a, config.mode), read_answers(config.b, config.mode))
    if config.split is not None:
        comparisons = [one for one in comparisons if one.split in config.split]
    if not comparisons:
        raise DataError(f"No question of the splits {', '.join(config.split or ())} is answered by both.")
    drawn, _ = draw(comparisons, config.examples, seeded_random(config.seed, "judge"))
    return drawn, alone


def _row(judgement: Judgement) -> dict[str, Any]:
    comparison = judgement.comparison
    a_first, b_first = judgement.preferences
    return {
        **{name: getattr(comparison, name) for name in ("split", "example_id", "mode", "sample", "prompt")},
        "a": comparison.a.text,
        "b": comparison.b.text,
        "outcome": judgement.outcome,
        "a_first": a_first,
        "b_first": b_first,
        "said_a_first": judgement.forward.said,
        "said_b_first": judgement.backward.said,
    }
