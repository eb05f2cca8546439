"""`ldyn judge`: compare the answers of two models, pair by pair, each pair in both orders."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from ldyn.cli.settings_command import Page, ProgressLines, as_list, settings_of, validated_as

PAGE = Page(
    "judge",
    "commands/judge",
    "ldyn judge A B [key=value ...]",
    """\
Compares the answers of A and B to the same prompts, pair by pair. Each pair is judged in both orders; where the orders
disagree it is a tie. Prints the win rate of A with a 95 % interval, the rate at equal lengths, how much the judge
prefers one position, and how many questions a difference needs; writes judgements.jsonl and judge.json.

judges:
  facts                the exact one of the microworld: the fact is right and none is borrowed; then, it ends by itself;
                       then, no four words in a row occur twice
  api                  a model behind an OpenAI-compatible endpoint, at temperature 0
  local:NAME           an instruction model on this machine (directory or hub name), greedily
  reward_model:NAME    a reward model on this machine (a sequence classifier)
  MODULE:FUNCTION      your own: (example_id, answers, prompt) -> a score for each answer""",
    """\
  ldyn judge outputs/extend/latest:dpo_extend outputs/extend/latest:dpo
  ldyn judge a=mine/samples.jsonl b=theirs/samples.jsonl judge=api api.model=gpt-4o-mini --dry-run
  ldyn judge mine theirs judge=api api.model=NAME api.base_url=http://localhost:8000/v1 api.concurrency=16

    win rate of outputs/extend/latest:dpo_extend   0.63 [0.55, 0.70]""",
    main=("a", "b"),
    renamed=tuple(
        (f"--{name.replace('_', '-')}", f"api.{name}")
        for name in ("model", "base_url", "key_variable", "concurrency", "prompt_price", "answer_price", "max_cost")
    ),
)


def main(arguments: Sequence[str]) -> int:
    """Judge, write the judgements, print the win rate."""
    settings = settings_of(PAGE, arguments)
    if settings is None:
        return 0

    from ldyn.answers.settings import API, JudgeConfig

    as_json, splits = bool(settings.pop("json")), as_list(settings.pop("split"))
    has_api = settings["judge"] == API and settings["api"]["model"] is not None
    api = settings["api"] if has_api else None
    config = validated_as(JudgeConfig, {**settings, "splits": splits, "api": api})

    from ldyn.answers.judging import judge_answers, plan_judging
    from ldyn.answers.win_table import result_table
    from ldyn.store.directory import plain

    if config.dry_run:
        print("\n".join(plan_judging(config)))
        return 0
    rates = judge_answers(config, lambda line: print(line, file=sys.stderr), ProgressLines("verdicts"))
    if as_json:
        print(json.dumps(plain(rates.as_object()), indent=1))
    else:
        from rich.console import Console

        Console().print(result_table(rates))
    print(f"Judgements: {config.out / 'judgements.jsonl'}", file=sys.stderr)
    return 0
