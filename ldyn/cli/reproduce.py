"""`ldyn reproduce`: all experiments of the paper over seeds as one sweep, and a page that compares with the paper."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ldyn.cli.hydra_jobs import run_jobs
from ldyn.cli.settings_command import Page, settings_of, validated_as
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
    from ldyn.jobs.reproduce import plain_jobs
    from ldyn.store.directory import partial_path

    failed = []
    for name, (command, *arguments) in plain_jobs(config).items():
        directory = config.paths.run / name
        if directory.exists():
            continue
        shutil.rmtree(partial_path(directory), ignore_errors=True)
        print(f"ldyn {shlex.join([command, *arguments])}", flush=True)
        try:
            run_command(command, arguments)
        except LdynError as error:
            failed.append(LdynError(f"{name}: {error}"))
    return failed


def _print_jobs(config: ReproduceConfig) -> None:
    from ldyn.jobs.reproduce import plain_jobs, training_jobs

    jobs = plain_jobs(config) | {name: ("train", *words) for name, words in training_jobs(config).items()}
    left = {name: words for name, words in jobs.items() if not (config.paths.run / name).exists()}
    print("\n".join(f"{name}: ldyn {shlex.join(words)}" for name, words in left.items()))
    print(f"{len(left)} of {len(jobs)} jobs have not finished; {config.at_a_time} run at a time.")


def _write_page(config: ReproduceConfig) -> None:
    from ldyn.report.results import write_results

    is_default = config.scale.name == "tiny"
    for path in write_results(config.paths.run, target=config.page, explained=is_default):
        print(f"Results: {path}")
