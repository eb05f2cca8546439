"""`ldyn judge`: whose answers are better, asked in both orders."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ldyn.answers.settings import API, FACTS, JudgeConfig
from ldyn.cli.api_arguments import add_api_arguments, api_config
from ldyn.cli.arguments import number, positive
from ldyn.cli.progress import ProgressLines
from ldyn.errors import ConfigError

DESCRIPTION = """\
Compares the answers of A and B to the same prompts, pair by pair. Each pair is judged in both orders; where the orders
disagree it is a tie. No answer is dropped, whatever its length, and a verdict that cannot be read is counted, not
guessed. Prints the win rate of A with a 95 % interval, the rate at equal lengths, how much the judge cares for the
order, and how many questions a difference needs; writes judgements.jsonl and judge.json."""

EPILOG = """\
A and B are each a samples.jsonl of `ldyn generate`, or the directory of a run, with :STAGE where it has several stages

judges:
  facts                the exact one of the microworld: the fact is right and none is borrowed; then, it ends by itself;
                       then, no four words in a row occur twice
  api                  a model behind an OpenAI-compatible endpoint, at temperature 0
  local:NAME           an instruction model on this machine (directory or hub name), greedily
  reward_model:NAME    a reward model on this machine (a sequence classifier)
  MODULE:FUNCTION      your own: (example_id, answers, prompt) -> a score for each answer

examples:
  ldyn judge outputs/extend/latest:dpo_extend outputs/extend/latest:dpo
  ldyn judge mine/samples.jsonl theirs/samples.jsonl --judge api --model gpt-4o-mini --dry-run
  ldyn judge mine theirs --judge api --model NAME --base-url http://localhost:8000/v1 --concurrency 16
"""


def main(arguments: Sequence[str]) -> int:
    """Judge, write the judgements, print the win rates."""
    options = _options(arguments)
    config = _config(options)

    from ldyn.answers.judging import judge_answers, plan_judging
    from ldyn.answers.win_table import result_table
    from ldyn.store.directory import plain

    if config.dry_run:
        print("\n".join(plan_judging(config)))
        return 0
    rates = judge_answers(config, lambda line: print(line, file=sys.stderr), ProgressLines("verdicts"))
    if options.json:
        print(json.dumps(plain(rates.as_object()), indent=1))
    else:
        from rich.console import Console

        Console().print(result_table(rates))
    print(f"Judgements: {config.out / 'judgements.jsonl'}", file=sys.stderr)
    return 0


def _config(options: argparse.Namespace) -> JudgeConfig:
    """Raises ConfigError where the settings cannot be used."""
    try:
        return JudgeConfig(
            a=options.a,
            b=options.b,
            out=options.out or Path("outputs", "judge", f"{datetime.now():%Y-%m-%d_%H-%M-%S}"),
            overwrite=options.overwrite,
            judge=options.judge,
            mode=options.mode,
            splits=tuple(options.split) if options.split else None,
            examples=options.examples,
            seed=options.seed,
            difference=options.difference,
            template=options.template,
            cache=options.cache,
            api=api_config(options) if options.judge == API else None,
            dry_run=options.dry_run,
        )
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ldyn judge",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("a", metavar="A", help="answers, see below")
    add("b", metavar="B", help="the answers that they are compared with")
    add("--judge", default=FACTS, metavar="JUDGE", help="who judges, see below (%(default)s)")
    add("--mode", default="greedy", help="which answers: greedy or sampled (%(default)s)")
    add("--split", action="append", default=[], help="which questions (train, test); may be repeated; default: all")
    add("--examples", type=positive, metavar="N", help="so many pairs, drawn by --seed (default: all)")
    add("--seed", type=int, default=0, help="of that draw (%(default)s)")
    add(
        "--difference",
        type=_difference,
        default=0.05,
        metavar="D",
        help="how many questions would show it (%(default)s)",
    )
    add("--template", type=Path, metavar="FILE", help="of the judge's prompt, with {prompt}, {first} and {second}")
    add("--cache", type=Path, default=Path("outputs", "cache", "answers"), metavar="DIR", help="(%(default)s)")
    add("--out", type=Path, metavar="DIR", help="where the judgements go (default: outputs/judge/<time>)")
    add("--overwrite", action="store_true", help="replace a judge.json that is there already")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    add_api_arguments(parser)
    return parser.parse_args(arguments)


def _difference(text: str) -> float:
    value = number(text)
    if not 0 < value < 0.5:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a difference from 1/2, above 0 and below 0.5")
    return value
