"""Hydra behind a command: its words put in order, one job or a sweep of them, and its errors as ldyn prints errors."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from ldyn.config.groups import config_directory, quoted
from ldyn.errors import ConfigError, Interrupted, LdynError, expected_one_of
from ldyn.store.sweeps import key_of

WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
OF_A_STAGE = re.compile(r"stages\.[^.=]+\.trainer\.[^=]+=")


def run_jobs(command: str, arguments: Sequence[str], job: Callable[[DictConfig], None]) -> int:
    """Compose ``configs/<command>.yaml`` with ``arguments`` and run ``job`` on it, once for each job of a sweep.

    A job finds the directory for its results in ``paths.run``. Returns 0; raises LdynError for what cannot run.
    """
    completes = {"-sc", "--shell-completion"} & set(arguments)  # whose script needs the executable alone
    words = ["ldyn" if completes else f"ldyn {command}", *hydra_words(arguments)]
    stopped: list[LdynError] = []
    composed_all = False

    def task(composed: DictConfig) -> None:
        nonlocal composed_all
        composed_all = True
        sys.argv = words  # a launcher may have started another process for this job
        if is_sweep():
            _run_in_sweep(job, composed)
            return
        try:
            job(composed)
        except LdynError as error:
            stopped.append(error)  # raised below: Hydra would put a line of its own in front

    try:
        with _as_program(words):
            hydra.main(version_base="1.3", config_path=str(config_directory()), config_name=command)(task)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError([described(error)]) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, OSError) as error:
        if composed_all or (fault := _file_fault(error)) is None:
            raise
        raise ConfigError([fault]) from error
    if stopped:
        raise stopped[0]
    return 0


def composed_settings(name: str, overrides: Sequence[str]) -> DictConfig:
    """``configs/<name>.yaml`` with ``overrides``, for a command that has no sweeps.

    In ``configs/commands`` no key is a config group, so that `model=DIR` and `probes=FILE` are plain settings.
    """
    try:
        path = config_directory() / f"{name}.yaml"
        with hydra.initialize_config_dir(str(path.parent), version_base="1.3"):
            return hydra.compose(path.stem, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError([described(error)]) from error


def hydra_words(arguments: Sequence[str]) -> list[str]:
    """Flags first, then overrides: Hydra takes no flag between overrides.

    A trainer setting that a stage does not have yet is added, so that nobody has to know which ones it has.
    Raises ConfigError for settings of earlier versions.
    """
    from ldyn.config.stages import old_settings

    flags, overrides, left = list[str](), list[str](), list(arguments)
    while left:
        word = left.pop(0)
        (flags if word.startswith("-") else overrides).append(word)
        if word in WITH_VALUE and left:
            flags.append(left.pop(0))
    if faults := old_settings(overrides):
        raise ConfigError(faults)
    return [*flags, *(f"++{word}" if OF_A_STAGE.match(word) else _with_quotes(word) for word in overrides)]


def _with_quotes(word: str) -> str:
    """A value with an equals sign, or with a tilde in front, as a path may have them, is a text."""
    key, equals, value = word.partition("=")
    is_text = value.startswith("~") or ("=" in value and not value.startswith(("'", '"', "[", "{", "$")))
    return f"{key}={quoted(value)}" if equals and is_text else word


def _file_fault(error: Exception) -> str | None:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}: invalid YAML in line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if isinstance(error, UnicodeDecodeError):
        return f"a YAML file is not UTF-8 text: {error.reason} at byte {error.start}"
    texts = ("Invalid defaults list", "Invalid loaded object type", "Invalid input")
    return str(error) if isinstance(error, yaml.YAMLError) or str(error).startswith(texts) else None


def described(error: Exception) -> str:
    """One fault for an error that Hydra or OmegaConf raised while it composed the configuration."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}: found no option {option!r}; {expected_one_of(option, error.options)}"
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, ConfigKeyError | AttributeError) and isinstance(cause, OmegaConfBaseException):
        keys = cause.parent_node if isinstance(cause.parent_node, Mapping) else {}
        siblings = [str(key) for key in keys if key != "hydra"]
        return f"{cause.full_key}: unknown key; {expected_one_of(str(cause.key), siblings)}"
    if several := re.search(r"Ambiguous value for argument '([^=]+)=(.*)'", str(error)):
        key, values = several.groups()
        advice = f"Add -m to run one job for each, or write {key}=[{values}] for a list"
        return f"{key}: found several values, {values}. {advice}"
    texts = [str(error), *([str(cause)] if cause and cause is not error else [])]
    return " ".join(line.strip() for text in texts for line in text.splitlines() if line.strip())


def _run_in_sweep(job: Callable[[DictConfig], None], composed: DictConfig) -> None:
    try:
        job(_placed(composed))
    except LdynError as error:
        print(f"ldyn: job {composed.run}: {error}", file=sys.stderr)
        if isinstance(error, Interrupted):
            raise SystemExit(error.exit_code) from error  # who stops a job of a sweep means the sweep
        raise
    except Exception as error:  # noqa: BLE001 - it is printed, and raised again
        traceback.print_exc()
        raise LdynError(f"{type(error).__name__}: {error}") from None  # the launcher may not know the error's class


def _placed(composed: DictConfig) -> DictConfig:
    """A job of a sweep writes to ``<sweep directory>/<run>``; a run without a name is called by the job's number."""
    hydra_config = HydraConfig.get()
    is_named = any(key_of(word) == "run" for word in hydra_config.overrides.task)
    directory = Path(hydra_config.runtime.output_dir) / (str(composed.run) if is_named else str(hydra_config.job.num))
    OmegaConf.update(composed, "run", directory.name)
    OmegaConf.update(composed, "paths.run", str(directory))
    return composed


@contextmanager
def _as_program(words: list[str]) -> Iterator[None]:
    """Hydra reads its words from sys.argv; it prints errors in its own way and exits unless HYDRA_FULL_ERROR is set."""
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = words, "1"
    try:
        yield
    finally:
        sys.argv = argv
        os.environ.pop("HYDRA_FULL_ERROR") if full_error is None else os.environ.update(HYDRA_FULL_ERROR=full_error)


def is_sweep() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)
