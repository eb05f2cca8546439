"""The sweeper of `ldyn train -m`: as Hydra's basic one, but all jobs are checked and planned before any starts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ldyn.config.groups import experiments
from ldyn.config.jobs import AUTO, new_config
from ldyn.config.schema import RunConfig
from ldyn.errors import ConfigError, LdynError, SweepError
from ldyn.jobs.sweep_plan import Plan, plan_sweep
from ldyn.store.sweeps import FAILED, FINISHED, MISSING, JobState, job_states, key_of, unfinished_lines, write_sweep

STAGES = "stages"
HYDRA_NAME = "hydra_plugins.ldyn"  # Hydra takes plugins from modules of this form only, and looks the module up


@dataclass(frozen=True)
class Listed:
    """Jobs that are no product of values: name of the run -> overrides, and the command that asked for them."""

    jobs: Mapping[str, Sequence[str]]
    command: tuple[str, ...]


def register_sweeper(listed: Listed | None = None) -> None:
    """Let Hydra know the sweeper that ``configs/hydra/sweeper/planned.yaml`` names."""
    sys.modules[HYDRA_NAME] = sys.modules[__name__]
    PlannedSweeper.listed = listed
    Plugins.instance().register(PlannedSweeper)


class PlannedSweeper(Sweeper):
    """A job is composed and validated where the command was typed; only jobs with work left reach the launcher."""

    __module__ = HYDRA_NAME
    listed: ClassVar[Listed | None] = None

    def __init__(self, max_batch_size: int | None, params: Mapping[str, str] | None = None):
        self._batch_size, self._params = max_batch_size, params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._loader, self._settings = hydra_context.config_loader, config
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run what is to be run; raises SweepError where a job does not finish, after the others had their turn."""
        directory, launcher = Path(str(self._settings.hydra.sweep.dir)), self._settings.hydra.launcher
        auto = self._is_auto(arguments)
        command = self.listed.command if self.listed else sys.argv[1:]
        names = tuple(self.listed.jobs) if self.listed else ()
        plan = plan_sweep(directory, self._wanted(arguments), command, auto=auto, names=names)
        jobs = plan.launched_with()
        size = self._batch_size or len(jobs) or 1
        batches = [jobs[first : first + size] for first in range(0, len(jobs), size)]
        if faults := launcher_faults(launcher):
            raise ConfigError(faults)
        write_sweep(directory, plan.sweep)
        OmegaConf.save(self._settings, directory / "multirun.yaml")  # as Hydra's own sweepers do
        print(f"ldyn: {plan.in_words()}; {directory}", file=sys.stderr)
        returns: list[Sequence[JobReturn]] = []
        for batch in batches:
            with launching_explained(launcher):
                returns.append(self._launcher.launch(batch, initial_job_idx=sum(map(len, returns))))
        conclude_sweep(directory, plan, [one for batch_returns in returns for one in batch_returns])
        return returns

    def _is_auto(self, arguments: list[str]) -> bool:
        """Whether the sweep continues one before; raises ConfigError where it could not be found again."""
        place = "hydra.sweep.dir=outputs/sweeps/NAME"
        given = [word.partition("=")[2].strip("'\"") for word in arguments if key_of(word) == "resume"]
        named: Any = OmegaConf.to_container(self._settings.hydra.sweep, resolve=False)
        if any(key_of(word) == "run" for word in arguments):
            raise ConfigError([f"run: found a name with -m, whose jobs are numbered; {place} names the sweep"])
        if given and given != [AUTO]:
            raise ConfigError([f"resume: found {given[-1]} with -m, expected resume=auto and the directory: {place}"])
        if given and "${now" in named["dir"]:
            found = "found resume=auto with a directory that is named by the time"
            raise ConfigError([f"hydra.sweep.dir: {found}; expected {place}, always the same"])
        return bool(given)

    def _wanted(self, arguments: list[str]) -> list[tuple[list[str], RunConfig]]:
        directories = [Path(one.path) for one in self._settings.hydra.runtime.config_sources if one.schema == "file"]
        known, faults, wanted = list(experiments(directories)), dict[str, list[str]](), []
        for overrides in self._expanded(arguments):
            try:
                wanted.append((overrides, new_config(self._composed(overrides), overrides, known)))
            except ConfigError as error:
                for fault in error.faults:
                    faults.setdefault(fault, []).append(" ".join(overrides))
        if faults:
            raise ConfigError(
                [f"{fault} (in {len(jobs)} jobs, the first: {jobs[0]})" for fault, jobs in faults.items()]
            )
        return wanted

    def _expanded(self, arguments: list[str]) -> Iterator[list[str]]:
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        stages = [f"paths.stages='{self._settings.hydra.sweep.dir}/{STAGES}'"]  # trained once, used by all jobs
        if self.listed:
            yield from ([*stages, *job] for job in self.listed.jobs.values())
            return
        words = [*(f"{key}={values}" for key, values in self._params.items()), *arguments]
        overrides = OverridesParser.create(config_loader=self._loader).parse_overrides(words)
        for job in BasicSweeper.split_arguments(overrides, None)[0]:
            own = [word for word in job if key_of(word) not in ("resume", "run")]
            yield own if any(key_of(word) == "paths.stages" for word in own) else [*own, *stages]

    def _composed(self, overrides: list[str]) -> DictConfig:
        config = self._loader.load_sweep_config(self._settings, overrides)
        HydraConfig.instance().set_config(config)  # for what refers to ${hydra:...}
        with read_write(config), open_dict(config):
            del config["hydra"]
        return config


def conclude_sweep(directory: Path, plan: Plan, returns: Sequence[JobReturn]) -> None:
    """Say where the results are; raises SweepError that lists the jobs which did not finish."""
    asked = {job.run for job in plan.jobs}
    answers = {job.run: answer for (job, _), answer in zip(plan.to_run, returns, strict=False)}
    states = [_completed(state, answers.get(state.run)) for state in job_states(directory) if state.run in asked]
    unfinished = sum(state.state != FINISHED for state in states)
    if unfinished:
        counted = f"{unfinished} of the {len(states)} jobs in {directory} have not finished:"
        raise SweepError("\n".join([counted, *unfinished_lines(directory, states)]))
    print(f"ldyn: all {len(states)} jobs have finished; compare them: ldyn report {directory}", file=sys.stderr)


def _completed(state: JobState, answer: JobReturn | None) -> JobState:
    if state.error or answer is None or answer.status != JobStatus.FAILED:
        return state
    error = answer._return_value
    return replace(state, state=FAILED if state.state == MISSING else state.state, error=str(error))


def launcher_faults(launcher: DictConfig) -> list[str]:
    """What would keep jobs from running under this launcher."""
    kind, faults = str(launcher.get("_target_")), []
    if "submitit_launcher" in kind and (launcher.tasks_per_node, launcher.nodes) != (1, 1):
        found = f"found {launcher.nodes} nodes and {launcher.tasks_per_node} tasks on each"
        expected = "expected nodes=1 and tasks_per_node=1: trainer.num_processes starts the processes inside the job"
        faults.append(f"hydra.launcher: {found}, {expected}")
    if kind.endswith("SlurmLauncher") and shutil.which("sbatch") is None:
        found = "found no sbatch here, so this is no login node of a SLURM cluster; submit from one, or"
        instead = "hydra/launcher=submitit_local or joblib runs the jobs on this machine"
        faults.append(f"hydra/launcher: {found}: {instead}; without hydra/launcher one by one")
    return faults


@contextmanager
def launching_explained(launcher: DictConfig) -> Iterator[None]:
    """Turn what submitit raises for jobs that SLURM refuses or loses into an LdynError."""
    if "submitit_launcher" not in str(launcher.get("_target_")):
        yield
        return
    from submitit.core.utils import FailedSubmissionError, UncompletedJobError

    try:
        yield
    except (FailedSubmissionError, UncompletedJobError, subprocess.CalledProcessError) as error:
        refusal = re.findall(r"sbatch: error: (.*)", str(error))
        what = f"SLURM refuses the jobs: {'; '.join(refusal)}" if refusal else f"A job ended without an answer: {error}"
        raise LdynError(f"{what}. Their output is in .submitit of the sweep's directory.") from error
