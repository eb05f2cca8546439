"""`ldyn reproduce`: all experiments of the paper over seeds as one sweep, and a page that compares with the paper."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ldyn.cli.hydra_jobs import quoted, run_jobs
from ldyn.cli.settings_command import Page, settings_of, validated_as
from ldyn.cli.train import run_job
from ldyn.config.groups import options_of
from ldyn.errors import LdynError, SweepError

if TYPE_CHECKING:
    from ldyn.jobs.reproduce import ReproduceConfig

ABOUT = """\
Runs every experiment of the paper under several seeds and writes one page with all its claims: what the paper says,
what was measured, over how many seeds, with what uncertainty. The jobs are a sweep (`ldyn train -m`): what they
share (base models, stages, reference log-probs) is computed once, and the same command continues after a stop.

scales:
{scales}"""

EXAMPLES = """\
  ldyn reproduce --dry-run
  ldyn reproduce seeds=5
  ldyn reproduce scale=paper hydra/launcher=slurm_gpu hydra.launcher.partition=gpu
  ldyn reproduce +logs.pythia=[SFT,DPO]           with published logs, in the layout of the paper's code

    ldyn: 15 jobs: 15 new; outputs/reproduce/tiny
    ...
    Results: outputs/reproduce/tiny/RESULTS.md
    Results: outputs/reproduce/tiny/results.html

A launcher (a word of Hydra's) decides where jobs run: joblib on this machine, slurm_gpu on a cluster."""


def main(arguments: Sequence[str]) -> int:
    """Run what is missing and write the page; 1 where a run has failed."""
    scales = "\n".join(f"  {name:<8} {text}" for name, text in options_of("scale").items())
    usage = "ldyn reproduce [scale=SCALE] [key=value ...] [--dry-run]"
    page = Page("reproduce", "reproduce", usage, ABOUT.format(scales=scales), EXAMPLES)
    launching = [word for word in arguments if word.lstrip("+~").startswith("hydra")]
    settings = settings_of(page, [word for word in arguments if word not in launching])
    if settings is None:
        return 0

    from ldyn.jobs.reproduce import ReproduceConfig

    config = validated_as(ReproduceConfig, settings)
    if config.dry_run:
        _print_jobs(config)
        return 0
    os.environ["OMP_NUM_THREADS"] = str(config.threads)
    failed = [*_run_plain(config), *_run_sweep(config, arguments, launching)]
    for error in failed:
        print(f"ldyn: {error}")
    _write_page(config)
    return int(bool(failed))


def _run_sweep(config: ReproduceConfig, arguments: Sequence[str], launching: Sequence[str]) -> list[LdynError]:
    from ldyn.jobs.reproduce import training_jobs
    from ldyn.jobs.sweeper import Listed, register_sweeper

    jobs = training_jobs(config)
    if not any(word.startswith("hydra/launcher=") for word in launching) and config.at_a_time > 1 and len(jobs) > 1:
        launching = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={config.at_a_time}", *launching]
    register_sweeper(Listed(jobs, ("reproduce", *arguments)))
    words = ["-m", f"hydra.sweep.dir={quoted(str(config.paths.run))}", "resume=auto", *launching]
    try:
        run_jobs("train", words, run_job)
    except SweepError as error:
        return [error]
    return []


def _run_plain(config: ReproduceConfig) -> list[LdynError]:
    from ldyn.cli.main import COMMANDS
    from ldyn.jobs.reproduce import plain_jobs, state_of
    from ldyn.store.directory import partial_path

    failed = []
    for job in plain_jobs(config):
        if state_of(job.directory) == "finished":
            continue
        shutil.rmtree(partial_path(job.directory), ignore_errors=True)
        print(f"ldyn {shlex.join(job.arguments)}", flush=True)
        try:
            COMMANDS[job.arguments[0]].main(job.arguments[1:])
        except LdynError as error:
            failed.append(LdynError(f"{job.name}: {error}"))
    return failed


def _print_jobs(config: ReproduceConfig) -> None:
    """The list of jobs, and how long they may take by the runs that have finished."""
    from rich.console import Console
    from rich.table import Table

    from ldyn.jobs.reproduce import expected_seconds, plain_jobs, state_of, training_jobs

    table = Table(title=f"Reproduction at scale {config.scale.name}, {config.seeds} seeds")
    for column in ("run", "state", "seconds, by the last one", "command"):
        table.add_column(column, overflow="fold")
    left, unknown = 0.0, 0
    for job in plain_jobs(config):
        table.add_row(job.name, state_of(job.directory), "", f"ldyn {job.arguments[0]}")
    for name, overrides in training_jobs(config).items():
        state, seconds = state_of(config.paths.run / name), expected_seconds(config.paths.run, name)
        table.add_row(name, state, "" if seconds is None else f"{seconds:.0f}", f"ldyn train {' '.join(overrides[:2])}")
        left += (seconds or 0.0) if state != "finished" else 0.0
        unknown += seconds is None and state != "finished"
    Console().print(table)
    known = f"The unfinished jobs take about {left / config.at_a_time / 60:.0f} min, {config.at_a_time} at a time"
    print(f"{known}; {unknown} jobs have no finished run to estimate from." if unknown else f"{known}.")


def _write_page(config: ReproduceConfig) -> None:
    from ldyn.report.results import write_results

    is_default = config.scale.name == "tiny"
    for path in write_results(config.paths.run, config.page or config.paths.run, explained=is_default):
        print(f"Results: {path}")
