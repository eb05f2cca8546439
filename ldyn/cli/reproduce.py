"""`ldyn reproduce`: all experiments of the paper over seeds, and the page that sets them beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ldyn.cli.hydra_jobs import run_jobs
from ldyn.config.groups import options_of
from ldyn.errors import LdynError

if TYPE_CHECKING:
    from ldyn.jobs.reproduction.settings import ReproduceConfig
    from ldyn.jobs.reproduction.state import State

DRY_RUN = "--dry-run"

HELP = """\
usage: ldyn reproduce [scale=SCALE] [key=value ...] [--dry-run]

Runs every experiment of the paper under several seeds and writes one table of all its claims: what the paper says, what
was measured, over how many seeds, with what uncertainty. The experiments are ordinary runs in outputs/reproduce/SCALE;
what they share (base models, stages, reference log-probs) is computed once. It can be stopped at any point and started
again: what is finished is skipped, what has begun goes on. Calling it again when all is finished writes the page anew.

scales:
{scales}

settings (with their defaults):
  seed=0 seeds=3       the first seed, and how many
  jobs=null            runs at a time; null: as the scale says, or as many as the cores have room for
  threads=1            of each run
  +logs.NAME=[SFT,DPO] directories of logs in the layout that the paper's code writes, to be set beside (NAME: a word)
  page=DIR          where RESULTS.md, results.html and figures go; default: the reproduction's own directory
  paths.outputs=DIR default: outputs

flags:
  --dry-run            show the plan (what each run makes, what it takes over, how long it should take) and stop
  --cfg job            print the composed configuration and stop

examples:
  ldyn reproduce --dry-run
  ldyn reproduce seeds=5
  ldyn reproduce scale=paper --dry-run
"""


def main(arguments: Sequence[str]) -> int:
    """Plan, and unless it is a dry run carry out the plan and write the page. 1 where a run has failed."""
    if {"-h", "--help"} & set(arguments):
        scales = "\n".join(f"  {name:<8} {text}" for name, text in options_of("scale").items())
        print(HELP.format(scales=scales), end="")
        return 0
    is_dry = DRY_RUN in arguments
    codes: list[int] = []
    run_jobs(
        "reproduce",
        [word for word in arguments if word != DRY_RUN],
        lambda composed: codes.append(_reproduce(composed, is_dry=is_dry)),
    )
    return max(codes, default=0)


def _reproduce(composed: DictConfig, *, is_dry: bool) -> int:
    from ldyn.config.loading import load_study_config
    from ldyn.jobs.reproduction.costs import timed_trial
    from ldyn.jobs.reproduction.plan import make_plan
    from ldyn.jobs.reproduction.settings import ReproduceConfig
    from ldyn.jobs.reproduction.shown import print_plan
    from ldyn.jobs.reproduction.state import open_state

    config = load_study_config(ReproduceConfig, composed)
    reference = config.scale.costs.trial
    speed = 1.0 if reference is None else timed_trial(config.threads) / reference
    state = open_state(config, make_plan(config, speed))
    print_plan(state, speed)
    return 0 if is_dry else _carry_out(config, state)


def _carry_out(config: ReproduceConfig, state: State) -> int:
    from ldyn.jobs.reproduction.crew import Crew
    from ldyn.jobs.reproduction.shown import Progress, print_failures

    with Progress(state) as progress:
        try:
            Crew(state, progress.tell).work()
        except LdynError as error:
            error.add_note("What is finished is kept; go on with the same command.")
            raise
    failures = print_failures(state)
    _write_page(config)
    return int(failures > 0)


def _write_page(config: ReproduceConfig) -> None:
    from ldyn.report import write_results

    for path in write_results(config.paths.run, config.page or config.paths.run):
        print(f"Results: {path}")
