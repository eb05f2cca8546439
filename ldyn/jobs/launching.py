"""What can go wrong between a sweep and its launcher, above all SLURM, in words."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from ldyn.errors import Interrupted, LdynError

INSTEAD = "hydra/launcher=submitit_local or joblib runs the jobs on this machine; without hydra/launcher one by one"


def launcher_faults(launcher: DictConfig, directory: Path) -> list[str]:
    """What would keep the jobs of the sweep in ``directory`` from running under this launcher."""
    faults = []
    if _is_submitit(launcher) and (launcher.tasks_per_node, launcher.nodes) != (1, 1):
        found = f"found {launcher.nodes} nodes and {launcher.tasks_per_node} tasks on each"
        expected = "expected nodes=1 and tasks_per_node=1: trainer.num_processes starts the processes inside the job"
        faults.append(f"hydra.launcher: {found}, {expected}")
    if _is_slurm(launcher) and shutil.which("sbatch") is None:
        found = "found no sbatch here, so this is no login node of a SLURM cluster"
        return [*faults, f"hydra/launcher: {found}; submit from one, or: {INSTEAD}"]
    if _is_slurm(launcher) and (queued := _in_the_queue(directory)):
        found = f"found jobs of this sweep in SLURM's queue ({', '.join(queued)})"
        faults.append(f"hydra.sweep.dir: {found}; wait for them, or end them: scancel {' '.join(queued)}")
    return faults


@contextmanager
def launching_explained(launcher: DictConfig, directory: Path) -> Iterator[None]:
    """Turn what submitit raises for jobs that SLURM refuses or loses into an LdynError."""
    if not _is_submitit(launcher):
        yield
        return
    from submitit.core.utils import FailedSubmissionError, UncompletedJobError

    try:
        yield
    except KeyboardInterrupt as stopped:
        if not _is_slurm(launcher):
            raise
        told = f"The jobs stay in SLURM's queue: `squeue --me` shows them, `ldyn report {directory}` how far they are."
        raise Interrupted(signal.SIGINT, f"Waits no longer. {told}") from stopped
    except (FailedSubmissionError, UncompletedJobError, subprocess.CalledProcessError) as error:
        if refusal := re.findall(r"sbatch: error: (.*)", str(error)):
            advice = "`sinfo --long` shows what this cluster has; the settings of hydra.launcher are in multirun.yaml"
            raise LdynError(f"SLURM refuses the jobs: {'; '.join(refusal)}. {advice}.") from error
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise LdynError(
            f"A job ended without an answer ({first}); what it printed is in {directory / '.submitit'}. "
            "Other jobs of the sweep may still be waiting or running."
        ) from error


def _is_submitit(launcher: DictConfig) -> bool:
    return "submitit_launcher" in str(launcher.get("_target_"))


def _is_slurm(launcher: DictConfig) -> bool:
    return _is_submitit(launcher) and str(launcher.get("_target_")).endswith("SlurmLauncher")


def _in_the_queue(directory: Path) -> list[str]:
    """Ids of jobs (of an array: its own) that submitit has logged in the directory and that have not ended."""
    logged = {path.name.partition("_")[0] for path in (directory / ".submitit").glob("[0-9]*")}
    command = ["squeue", "--noheader", "--format=%F", f"--user={os.getuid()}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False) if logged else None
    return sorted(logged.intersection(done.stdout.split()), key=int) if done else []
