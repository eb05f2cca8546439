"""What the commands that Hydra composes share: one job or a sweep of them, and errors that are said as all others."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ldyn.config.groups import config_directory
from ldyn.errors import ConfigError, Interrupted, LdynError
from ldyn.store.sweeps import key_of


def run_jobs(command: str, arguments: Sequence[str], job: Callable[[DictConfig], None]) -> int:
    """Compose ``configs/<command>.yaml`` with ``arguments`` and run ``job`` on it, once for each job of a sweep.

    A job finds the directory for its results in ``paths.run``. Returns 0; raises LdynError for what cannot run.
    """
    import hydra
    from hydra.errors import HydraException

    from ldyn.cli.hydra_errors import in_words

    # Hydra prints errors in its own way and exits; with this it lets them pass, so that all errors are said alike.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    words = sys.argv = [_program(command, arguments), *arguments]
    stopped: list[LdynError] = []

    def task(composed: DictConfig) -> None:
        sys.argv = words  # a launcher may have started another process for this job
        if _is_sweep():
            _run_in_sweep(job, composed)
            return
        try:
            job(composed)
        except LdynError as error:
            stopped.append(error)  # raised below: Hydra would put a line of its own in front

    try:
        hydra.main(version_base="1.3", config_path=str(config_directory()), config_name=command)(task)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError([in_words(error)]) from error
    if stopped:
        raise stopped[0]
    return 0


def _run_in_sweep(job: Callable[[DictConfig], None], composed: DictConfig) -> None:
    """One job of several: where it fails it says so beside its own output, and the others go on."""
    try:
        job(_placed(composed))
    except Interrupted as error:
        print(f"ldyn: job {composed.run}: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error  # who stops a job of a sweep means the sweep
    except LdynError as error:
        print(f"ldyn: job {composed.run}: {error}", file=sys.stderr)
        raise
    except Exception as error:  # noqa: BLE001 - it is told, and raised again
        traceback.print_exc()
        raise LdynError(f"{type(error).__name__}: {error}") from None  # the launcher may not know the error's class


def _placed(composed: DictConfig) -> DictConfig:
    """A job of a sweep writes to ``<sweep directory>/<run>``, where a run without a name is called by the job's
    number.
    """
    from hydra.core.hydra_config import HydraConfig

    hydra_config = HydraConfig.get()
    is_named = any(key_of(word) == "run" for word in hydra_config.overrides.task)
    directory = Path(hydra_config.runtime.output_dir) / (str(composed.run) if is_named else str(hydra_config.job.num))
    OmegaConf.update(composed, "run", directory.name)
    OmegaConf.update(composed, "paths.run", str(directory))
    return composed


def _is_sweep() -> bool:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _program(command: str, arguments: Sequence[str]) -> str:
    """What Hydra calls the program: its completion script needs the executable, its messages the whole command."""
    return "ldyn" if "-sc" in arguments or "--shell-completion" in arguments else f"ldyn {command}"
