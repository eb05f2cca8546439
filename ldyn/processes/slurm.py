"""The SLURM batch job of this process, and how to requeue it."""

from __future__ import annotations

import os
import subprocess

from ldyn.errors import LdynError


def in_batch_job() -> bool:
    """Whether sbatch started this; false in the shell of an salloc, where a person waits for the prompt."""
    return "SLURM_JOB_ID" in os.environ and os.environ.get("ENVIRONMENT") == "BATCH"


def restart_count() -> int:
    """How often SLURM has started this job again: 0 in its first life, and without SLURM."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def job_id() -> str:
    """The job's id as SLURM's commands take it: 12, or 12_3 for a task of an array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def requeue() -> None:
    """Put this job back into the queue, which ends it soon; raises LdynError where SLURM refuses."""
    try:
        subprocess.run(["scontrol", "requeue", job_id()], check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        cause = " ".join((getattr(error, "stderr", "") or str(error)).split())
        raise LdynError(
            f"SLURM does not requeue job {job_id()}: {cause}. Submit jobs with --requeue, as ldyn's own "
            "hydra/launcher files do (additional_parameters: {requeue: true})."
        ) from error
