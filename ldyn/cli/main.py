"""The `ldyn` command: chooses a subcommand, imports it when it is called, and says errors in words.

Nothing heavy is imported here: `ldyn --help` and tab completion answer at once, and `ldyn report` and `ldyn verify`
work where torch cannot be imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ldyn import __version__
from ldyn.cli.completion import completion
from ldyn.data.text import visible
from ldyn.errors import LdynError


def _train(arguments: Sequence[str]) -> int:
    from ldyn.cli import train

    return train.main(arguments)


def _report(arguments: Sequence[str]) -> int:
    from ldyn.cli import report

    return report.main(arguments)


def _verify(arguments: Sequence[str]) -> int:
    from ldyn.cli import verify

    return verify.main(arguments)


def _probes(arguments: Sequence[str]) -> int:
    from ldyn.cli import probes

    return probes.main(arguments)


def _generate(arguments: Sequence[str]) -> int:
    from ldyn.cli import generate

    return generate.main(arguments)


def _judge(arguments: Sequence[str]) -> int:
    from ldyn.cli import judge

    return judge.main(arguments)


def _score(arguments: Sequence[str]) -> int:
    from ldyn.cli import score

    return score.main(arguments)


def _bench(arguments: Sequence[str]) -> int:
    from ldyn.cli import bench

    return bench.main(arguments)


def _toy(arguments: Sequence[str]) -> int:
    from ldyn.cli import toy

    return toy.main(arguments)


def _images(arguments: Sequence[str]) -> int:
    from ldyn.cli import images

    return images.main(arguments)


def _reproduce(arguments: Sequence[str]) -> int:
    from ldyn.cli import reproduce

    return reproduce.main(arguments)


def _import_logs(arguments: Sequence[str]) -> int:
    from ldyn.cli import import_logs

    return import_logs.main(arguments)


def _decompose(arguments: Sequence[str]) -> int:
    from ldyn.cli import decompose

    return decompose.main(arguments)


@dataclass(frozen=True)
class Command:
    """A subcommand: what it does in one line, and the function that runs it and returns the exit code."""

    summary: str
    main: Callable[[Sequence[str]], int]


COMMANDS: dict[str, Command] = {
    "train": Command("run an experiment: its stages, its probes, its findings and its report", _train),
    "report": Command("draw the figures and the report page of finished or running runs again", _report),
    "verify": Command("compute the findings of runs anew from their trajectories, and check the stored ones", _verify),
    "probes": Command("build a probe set from preference data, or check whether one is fit for use", _probes),
    "generate": Command("let models answer prompts, and measure repetition and hallucination", _generate),
    "judge": Command("compare the answers of two models, pair by pair, in both orders", _judge),
    "score": Command("score the probes of a file with any model or checkpoint", _score),
    "decompose": Command("hold the theory's prediction of an update against what the update really did", _decompose),
    "toy": Command("the squeezing effect in a bare softmax, calculated and judged; takes seconds", _toy),
    "images": Command("who moves whom while a small classifier learns digits, predicted and measured", _images),
    "reproduce": Command("run all experiments of the paper over seeds, and set them beside it", _reproduce),
    "import-logs": Command("turn logs that others published into a run like our own", _import_logs),
    "bench": Command("measure what scoring probes and training cost on this machine", _bench),
}

USAGE = f"""\
usage: ldyn <command> [arguments]

How finetuning moves a language model: which responses gain probability, which lose it, and why.

commands:
{chr(10).join(f"  {name:<11} {command.summary}" for name, command in COMMANDS.items())}

first steps:
  ldyn train +exp=dpo_squeeze       the paper's central experiment; minutes on two CPU cores, nothing to download
  ldyn train --help                 the experiments, the config groups and how to change any setting
  ldyn <command> --help             the same for another command

options:
  -h, --help   this page
  --version    the version
tab completion for bash:  eval "$(ldyn train -sc install=bash)"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; a `LdynError` is printed without a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(words)
    except LdynError as error:
        print(visible("\n".join([f"ldyn: {error}", *getattr(error, "__notes__", ())])), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # before or after a run, which turns it into Interrupted
        print("ldyn: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) has left: not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(words: list[str]) -> int:
    if not words:
        print(USAGE, end="", file=sys.stderr)
        return 2
    if words[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if words[0] == "--version":
        print(f"ldyn {__version__}")
        return 0
    if words[0] == "-sc":
        return completion(words, {name: command.main for name, command in COMMANDS.items()})
    if words[0] not in COMMANDS:
        expected = f"expected a command: {', '.join(COMMANDS)}; `ldyn --help` describes them"
        print(f"ldyn: found {words[0]!r}, {expected}", file=sys.stderr)
        return 2
    return COMMANDS[words[0]].main(words[1:])
