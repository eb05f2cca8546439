"""What the commands of studies (`ldyn toy` and its like) share: a help page, and the way from words to results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import yaml
from omegaconf import DictConfig

from ldyn.cli.hydra_jobs import run_jobs
from ldyn.config.groups import config_directory

if TYPE_CHECKING:
    from ldyn.store import Run

TEMPLATE = """\
usage: ldyn {command} [key=value ...] [flags]

{about}

Writes outputs/{name}/<run>/: tables, findings with verdicts, figures, report.html.

settings:
{settings}

examples:
{examples}

flags:
  --cfg job              print the composed configuration and stop; --resolve fills in its references
  -m, --multirun         a sweep, one run for each combination of comma-separated values
"""


def study_command(
    command: str, about: str, examples: str, arguments: Sequence[str], study: Callable[[DictConfig], Run]
) -> int:
    """Print the help page of a study, or compose ``configs/<command>.yaml``, run ``study`` on it and print the results.

    about: what the study does, in words for a newcomer; examples: lines of commands for the help page.
    """
    if {"-h", "--help"} & set(arguments):
        settings, name = _settings(command), _name(command)
        print(TEMPLATE.format(command=command, name=name, about=about, examples=examples, settings=settings), end="")
        return 0

    def job(composed: DictConfig) -> None:
        run = study(composed)
        from ldyn.run.conclusion import print_results

        print_results(run)

    return run_jobs(command, arguments, job)


def _name(command: str) -> str:
    """What the study calls its runs' directory."""
    settings = yaml.safe_load((config_directory() / f"{command}.yaml").read_text(encoding="utf-8"))
    return str(settings["name"])


def _settings(command: str) -> str:
    """The study's own YAML file, which says each setting with its default and what it is, without Hydra's part."""
    text = (config_directory() / f"{command}.yaml").read_text(encoding="utf-8")
    blocks = [block for block in text.split("\n\n") if not block.startswith(("#", "defaults:"))]
    return "\n".join(f"  {line}" if line else "" for line in "\n\n".join(blocks).rstrip().splitlines())
