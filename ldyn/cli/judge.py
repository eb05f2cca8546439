"""`ldyn judge`: compare the answers of two models, pair by pair, each pair in both orders."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ldyn.cli.settings_command import Page, ProgressLines, print_table, settings_of, validated_as

if TYPE_CHECKING:
    from ldyn.answers.win_rates import WinRates

PAGE = Page("judge", "commands/judge", main=("a", "b"))


def main(arguments: Sequence[str]) -> int:
    settings = settings_of(PAGE, arguments)
    if settings is None:
        return 0

    from ldyn.answers.settings import API, JudgeConfig

    has_api = settings["judge"] == API and settings["api"]["model"] is not None
    config = validated_as(JudgeConfig, {**settings, "api": settings["api"] if has_api else None})

    from ldyn.answers.judging import judge_answers, plan_judging

    if config.dry_run:
        print("\n".join(plan_judging(config)))
        return 0
    rates = judge_answers(config, lambda line: print(line, file=sys.stderr), ProgressLines("verdicts"))
    print_table("Win rate of a over b, judged in both orders", [{"what": k, "": v} for k, v in lines(rates)], texts=2)
    print(f"Judgements: {config.out / 'judgements.jsonl'}", file=sys.stderr)
    return 0


def lines(result: WinRates) -> list[tuple[str, str]]:
    """What a terminal shows: names, win rates with 95 % intervals, what the judge did, and lengths."""
    judged, alone = result.n_comparisons - result.unjudged, result.unanswered
    only = f"; only a answers {alone['only_a']} more, only b {alone['only_b']} more" if any(alone.values()) else ""
    unread = [("with the unread", f"a wins {result.at_worst:.3f} to {result.at_best:.3f}, whoever won those")]
    return [
        ("a", result.a),
        ("b", result.b),
        ("judge", result.judge),
        ("answers", f"{result.mode}, {result.n_comparisons} pairs on {result.n_questions} questions{only}"),
        ("a wins", f"{result.win_rate}   ties are half a win"),
        ("verdicts", f"{result.wins} for a, {result.losses} for b, {result.ties} ties, {result.unjudged} unread"),
        ("orders disagree", f"{result.orders_disagree} of {judged}, counted as ties"),
        ("first preferred", f"{result.first_preferred}   1/2 if the order of the answers does not matter"),
        *(unread if result.unjudged else []),
        ("length of a", _length(result.lengths_a)),
        ("length of b", _length(result.lengths_b)),
    ]


def _length(means: dict[str, float | None]) -> str:
    return ", ".join(f"{value:.1f} {unit}" for unit, value in means.items() if value is not None)
