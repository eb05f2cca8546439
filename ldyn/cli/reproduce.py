"""`ldyn reproduce`: all experiments of the paper over seeds as one sweep, and a page that compares with the paper."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ldyn.cli.hydra_jobs import run_jobs
from ldyn.cli.settings_command import Page, print_table, settings_of, validated_as
from ldyn.cli.train import run_job
from ldyn.config.groups import options_of, quoted
from ldyn.errors import LdynError, SweepError

if TYPE_CHECKING:
    from ldyn.jobs.reproduce import ReproduceConfig

PAGE = Page("reproduce", "reproduce")


def main(arguments: Sequence[str]) -> int:
    """Run what is missing and write the page; 1 where a run has failed."""
    launching = [word for word in arguments if word.lstrip("+~").startswith("hydra")]
    settings = settings_of(PAGE, [word for word in arguments if word not in launching])
    if settings is None:
        scales = options_of("scale").items() if {"-h", "--help"} & set(arguments) else ()
        print("".join(f"  scale={name:<16} {text}\n" for name, text in scales), end="")
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
    from ldyn.cli.main import run_command
    from ldyn.jobs.reproduce import plain_jobs, state_of
    from ldyn.store.directory import partial_path

    failed = []
    for job in plain_jobs(config):
        if state_of(job.directory) == "finished":
            continue
        shutil.rmtree(partial_path(job.directory), ignore_errors=True)
        print(f"ldyn {shlex.join(job.arguments)}", flush=True)
        try:
            run_command(job.arguments[0], job.arguments[1:])
        except LdynError as error:
            failed.append(LdynError(f"{job.name}: {error}"))
    return failed


def _print_jobs(config: ReproduceConfig) -> None:
    """The list of jobs, and how long they may take by the runs that have finished."""
    from ldyn.jobs.reproduce import expected_seconds, plain_jobs, state_of, training_jobs

    left, unknown = 0.0, 0
    rows = [
        {"run": job.name, "state": state_of(job.directory), "seconds": "", "of": job.arguments[0]}
        for job in plain_jobs(config)
    ]
    for name, overrides in training_jobs(config).items():
        state, seconds = state_of(config.paths.run / name), expected_seconds(config.paths.run, name)
        shown = "" if seconds is None else f"{seconds:.0f}"
        rows.append({"run": name, "state": state, "seconds": shown, "of": " ".join(overrides[:2])})
        left += (seconds or 0.0) if state != "finished" else 0.0
        unknown += seconds is None and state != "finished"
    print_table(
        f"Reproduction at scale {config.scale.name}, {config.seeds} seeds; seconds of the last such run", rows, 4
    )
    known = f"The unfinished jobs take about {left / config.at_a_time / 60:.0f} min, {config.at_a_time} at a time"
    print(f"{known}; {unknown} jobs have no finished run to estimate from." if unknown else f"{known}.")


def _write_page(config: ReproduceConfig) -> None:
    from ldyn.report.results import write_results

    is_default = config.scale.name == "tiny"
    for path in write_results(config.paths.run, target=config.page, explained=is_default):
        print(f"Results: {path}")
