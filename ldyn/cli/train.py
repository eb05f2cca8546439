"""`ldyn train`: Hydra composes the configuration, ldyn validates it, then the run begins."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ldyn.cli.hydra_jobs import is_sweep, run_jobs
from ldyn.cli.settings_command import first_comment
from ldyn.config.groups import config_directory, experiments, groups
from ldyn.errors import ConfigError, LdynError
from ldyn.processes.launcher import is_launched_main, launched_count

if TYPE_CHECKING:
    from ldyn.config.schema import RunConfig


WIDTH = 110


def main(arguments: Sequence[str]) -> int:
    """Run `ldyn train` with Hydra's own command line; `--help` is ours."""
    if {"-h", "--help"} & set(arguments):
        words = [part for argument in arguments for part in argument.split("=", 1)]
        own = [Path(value) for flag, value in pairwise(words) if flag in ("--config-dir", "-cd")]
        print(train_help([config_directory(), *own]))
        return 0
    if {"-m", "--multirun"} & set(arguments):
        if launched_count() is not None:
            expected = "expected trainer.num_processes=N without a launcher: ldyn then starts the processes of each job"
            raise ConfigError([f"-m: found a sweep under a launcher, whose processes meet only once; {expected}"])
        from ldyn.jobs.sweeper import register_sweeper

        register_sweeper()
    return run_jobs("train", arguments, run_job)


def run_job(composed: DictConfig) -> None:
    """One job: a single run, or one of a sweep; as a job of SLURM's it resumes when SLURM starts it again."""
    from ldyn.config.jobs import final_run_path, settle_resume
    from ldyn.jobs.preemption import slurm_restarts

    with slurm_restarts(final_run_path(composed)):
        finished = settle_resume(composed, _overrides()) or _run_or_resume(composed)
    if finished is not None:
        from ldyn.run.conclusion import print_results
        from ldyn.store import read_run

        print_results(read_run(finished))


def _run_or_resume(composed: DictConfig) -> Path | None:
    from ldyn.config.jobs import job_config
    from ldyn.jobs.sweep_plan import name_after_sweep

    if is_sweep() and composed.get("resume") is None:
        name_after_sweep(composed, _overrides())
    sources = HydraConfig.get().runtime.config_sources
    directories = [Path(source.path) for source in sources if source.schema == "file"]
    config = job_config(composed, _overrides(), list(experiments(directories)))
    starts_others = launched_count() is None and (config.trainer.num_processes or 1) > 1
    return _run_in_processes(config) if starts_others else _run_here(config)


def _overrides() -> list[str]:
    return list(HydraConfig.get().overrides.task)


def _run_here(config: RunConfig) -> Path | None:
    """Run in this process, and in those that a launcher has started beside it; None where another one is the main."""
    if is_launched_main():
        print(f"ldyn: {config.paths.run}: loading libraries and data", file=sys.stderr, flush=True)

    from ldyn.run.run import run

    directory = run(config)
    return directory if is_launched_main() else None


def _run_in_processes(config: RunConfig) -> Path:
    from ldyn.config.loading import config_to_yaml
    from ldyn.processes.launch import launch
    from ldyn.store.directory import partial_path

    try:
        launch(run_stored, config_to_yaml(config), config.trainer.num_processes or 1)
    except (LdynError, RuntimeError) as error:
        directory = partial_path(config.paths.run)
        if directory.exists() and not getattr(error, "__notes__", ()):
            error.add_note(f"What was measured so far is in {directory}; resume with: ldyn train resume={directory}")
        raise
    return config.paths.run


def run_stored(settings: str) -> None:
    """In a process that was started for it: run the configuration that is given as YAML."""
    import yaml

    from ldyn.config.loading import load_config

    _run_here(load_config(yaml.safe_load(settings)))


def train_help(directories: list[Path]) -> str:
    """The help page, with the experiments and options found in ``directories``."""
    options = {group: " ".join(names) for group, names in groups(directories).items() if group != "exp"}
    return first_comment("train").format(experiments=_listed(experiments(directories)), groups=_listed(options))


def _listed(entries: Mapping[str, str]) -> str:
    column = max((len(name) for name in entries), default=0) + 4
    return "\n".join(
        textwrap.fill(text, WIDTH, initial_indent=f"  {name}".ljust(column), subsequent_indent=" " * column)
        for name, text in entries.items()
    )
