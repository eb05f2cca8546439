"""The `ldyn` command: imports the module of the subcommand that is called, and prints errors without a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from ldyn import __version__
from ldyn.data.text import visible
from ldyn.errors import LdynError, expected_one_of

COMMANDS = {
    "train": "run an experiment: train its stages, score its probes, judge its findings, draw its report",
    "report": "draw the figures and the report page of runs again",
    "verify": "compute the findings of runs again from their trajectories and compare with the stored ones",
    "probes": "build a probe set from preference data",
    "generate": "let models answer prompts; measure length and repetition",
    "judge": "compare the answers of two models, pair by pair, in both orders",
    "score": "score the probes of a file with any model or checkpoint",
    "decompose": "compare the update that theory predicts with the update that happened",
    "toy": "the squeezing effect in a bare softmax; takes seconds",
    "images": "how learning one digit moves the others, predicted and measured; takes a minute",
    "reproduce": "run all experiments of the paper over several seeds and compare with the paper",
    "import-logs": "turn published logs into a run directory",
    "bench": "measure what scoring probes and training cost on this machine",
}
"""Command -> what it does. It is the function ``main(arguments) -> exit code`` of a module of its name."""

STUDIES = ("toy", "images", "decompose")
MULTIRUN = ("-m", "--multirun")

USAGE = f"""\
usage: ldyn <command> [arguments]

How finetuning moves a language model: which responses gain probability, which lose it, and why.

commands:
{chr(10).join(f"  {name:<11} {summary}" for name, summary in COMMANDS.items())}

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


def run_command(name: str, arguments: Sequence[str]) -> int:
    if name in STUDIES:
        from ldyn.cli.studies import study

        return study(name, arguments)
    code: int = import_module(f"ldyn.cli.{name.replace('-', '_')}").main(arguments)
    return code


def _dispatch(words: list[str]) -> int:
    if not words or (words[0] in MULTIRUN and len(words) == 1):
        print(USAGE, end="", file=sys.stderr)
        return 2
    if words[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if words[0] == "--version":
        print(f"ldyn {__version__}")
        return 0
    if words[0] == "-sc":
        return _completion(words)
    flags = [word for word in words[:1] if word in MULTIRUN]  # `ldyn -m train ...`
    command, arguments = words[len(flags)], [*flags, *words[len(flags) + 1 :]]
    if command not in COMMANDS:
        print(
            f"ldyn: no such command: {command}; {expected_one_of(command, COMMANDS)}. See `ldyn --help`.",
            file=sys.stderr,
        )
        return 2
    return run_command(command, arguments)


def _completion(words: Sequence[str]) -> int:
    """Tab completion: Hydra's script calls `ldyn -sc query=bash` with the line that was typed in COMP_LINE."""
    typed = os.environ.get("COMP_LINE", "").split()
    querying = words[1:2] != [] and words[1].startswith("query=")
    if querying and (len(typed) < 2 or typed[1] not in COMMANDS):
        start = typed[1] if len(typed) > 1 else ""
        print(" ".join(name for name in COMMANDS if name.startswith(start)))
        return 0
    if querying and typed[1] not in ("train", *STUDIES):
        return 0  # its arguments are paths; bash completes them by itself
    if querying:
        # Hydra knows nothing of subcommands: it is given the line as if `ldyn train` were the program.
        os.environ["COMP_LINE"] = os.environ["COMP_LINE"].replace(f"{typed[1]} ", "", 1)
        return run_command(typed[1], words)
    return run_command("train", words)
