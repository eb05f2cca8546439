"""`ldyn judge`: whose answers are better, asked in both orders."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ldyn.answers.pairwise.named import API
from ldyn.cli.api_arguments import add_api_arguments, api_config
from ldyn.cli.arguments import number, positive
from ldyn.cli.progress import ProgressLines
from ldyn.errors import RunDirectoryError

if TYPE_CHECKING:
    from ldyn.answers.api import ApiModel
    from ldyn.answers.pairwise.chat import ChatPairJudge
    from ldyn.answers.pairwise.contest import Contest, PairJudge

DESCRIPTION = """\
Compares the answers of A and B to the same prompts, pair by pair. Each pair is judged in both orders; where the orders
disagree it is a tie. No answer is dropped, whatever its length, and a verdict that cannot be read is counted, not
guessed. Prints the win rate of A with a 95 % interval, the rate at equal lengths, how much the judge cares for the
order, and how many questions a difference needs; writes judgements.jsonl and judge.json."""

EPILOG = """\
A and B are each a samples.jsonl of `ldyn generate`, or the directory of a run, with :STAGE where it has several stages

judges:
  oracle               the exact one of the microworld: the fact is right and none is borrowed; then, it ends by itself;
                       then, no four words in a row occur twice
  api                  a model behind an OpenAI-compatible endpoint, at temperature 0
  model:NAME           an instruction model on this machine (directory or hub name), greedily
  reward_model:NAME    a reward model on this machine (a sequence classifier)
  MODULE:FUNCTION      your own: (example_id, answers, prompt) -> a score for each answer

examples:
  ldyn judge outputs/extend/latest:dpo_extend outputs/extend/latest:dpo
  ldyn judge mine/samples.jsonl theirs/samples.jsonl --judge api --model gpt-4o-mini --dry-run
  ldyn judge mine theirs --judge api --model NAME --base-url http://localhost:8000/v1 --concurrency 16
"""


def main(arguments: Sequence[str]) -> int:
    """Judge, write what was found, print it."""
    options = _options(arguments)
    out = options.out or Path("outputs", "judge", f"{datetime.now():%Y-%m-%d_%H-%M-%S}")
    if (out / "judge.json").exists() and not options.overwrite:
        raise RunDirectoryError(f"{out / 'judge.json'} exists already; give another --out, or --overwrite it.")

    from ldyn.answers.pairwise.job import Question, find_contests, run_judge
    from ldyn.answers.pairwise.table import result_table
    from ldyn.store.directory import plain

    question = Question(
        a=options.a,
        b=options.b,
        out=out,
        mode=options.mode,
        splits=tuple(options.split) if options.split else None,
        examples=options.examples,
        seed=options.seed,
        difference=options.difference,
    )
    contests, alone = find_contests(question)
    if options.dry_run:
        return _dry_run(options, contests)
    api = _endpoint(options)
    result = run_judge(question, _judge(options, api), contests, alone)
    if options.json:
        print(json.dumps(plain(result.as_object()), indent=1))
    else:
        from rich.console import Console

        Console().print(result_table(result))
    if api is not None:
        print(f"Asked: {api.spent.words(api.config)}", file=sys.stderr)
    print(f"Judgements: {out / 'judgements.jsonl'}", file=sys.stderr)
    return 0


def _endpoint(options: argparse.Namespace) -> ApiModel | None:
    """Raises an LdynError where it cannot be asked, as without a key."""
    if options.judge != API:
        return None

    from ldyn.answers.answer_cache import AnswerCache
    from ldyn.answers.api import ApiModel

    return ApiModel(api_config(options), AnswerCache(options.cache), ProgressLines("verdicts"))


def _judge(options: argparse.Namespace, api: ApiModel | None) -> PairJudge:
    if api is not None:
        return _chat_judge(options, api)

    from ldyn.answers.answer_cache import AnswerCache
    from ldyn.answers.pairwise.named import judge_on_this_machine

    return judge_on_this_machine(
        options.judge,
        template=options.template,
        cache=AnswerCache(options.cache),
        device=_device(options),
        progress=ProgressLines("verdicts"),
    )


def _device(options: argparse.Namespace) -> str:
    """Only an instruction model needs one; it takes torch to find out."""
    if not options.judge.startswith("model:"):
        return "cpu"

    from ldyn.run.score_file import find_device

    return str(find_device(options.device))


def _chat_judge(options: argparse.Namespace, api: ApiModel) -> ChatPairJudge:
    from ldyn.answers.pairwise.chat import ChatPairJudge, read_template

    return ChatPairJudge(api, read_template(options.template))


def _dry_run(options: argparse.Namespace, contests: Sequence[Contest]) -> int:
    """What would be asked, without asking."""
    from ldyn.answers.pairwise.contest import comparisons_of

    print(f"{len(contests):,} pairs of answers, each judged in both orders")
    api = _endpoint(options)
    if api is not None:
        plan = api.plan(_chat_judge(options, api).requests(comparisons_of(contests)))
        print(f"{plan.cached:,} of the requests are answered in {options.cache}")
        print(f"to be asked, at most: {plan.most.words(api.config)}")
    return 0


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
    add("--judge", default="oracle", metavar="JUDGE", help="who judges, see below (%(default)s)")
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
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="of a model on this machine (%(default)s)")
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
