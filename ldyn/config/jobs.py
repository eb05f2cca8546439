"""The configuration of one `ldyn train` job: a new run, or a stored one to go on with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from ldyn.config.loading import config_to_plain, deciding_settings, load_config, settings_hash
from ldyn.config.schema import RunConfig
from ldyn.config.stages import as_mapping
from ldyn.data.hub import is_commit
from ldyn.data.rows import AUTOMATIC
from ldyn.errors import ConfigError, RunDirectoryError
from ldyn.processes.launcher import launched_count, number_faults, room_faults
from ldyn.store.directory import final_path, partial_path
from ldyn.tracking import key_faults

AUTO = "auto"
"""`resume=auto`: go on with the run of this name if it is there, and do nothing if it has finished."""


def job_config(composed: DictConfig, overrides: Sequence[str], experiments: Sequence[str]) -> RunConfig:
    """Validate what was composed; with `resume=<run>` it is the stored configuration that counts.

    In the result ``trainer.num_processes`` is a number: what a launcher has started, or one.
    """
    if composed.get("resume") is not None:
        return _in_processes(_resumed(composed, overrides))
    return _in_processes(new_config(composed, overrides, experiments))


def new_config(composed: DictConfig, overrides: Sequence[str], experiments: Sequence[str]) -> RunConfig:
    """The same for a new run, as far as it can be said on another machine than the one that will run it."""
    if not composed.get("name"):
        chosen = [override for override in overrides if _key(override) == "exp"]
        if chosen:
            raise ConfigError([f"name: found none in {chosen[0].lstrip('+')}; add `name: NAME` to its YAML file"])
        expected = f"expected +exp=<name> with one of: {', '.join(experiments)}"
        raise ConfigError([f"exp: found no experiment, {expected}; `ldyn train --help` describes them"])
    if faults := list(_overrides_without_effect(composed, overrides)):
        raise ConfigError(faults)
    return load_config(composed)


def final_run_path(composed: DictConfig) -> Path:
    """The directory of the run once it has finished: the one to resume, or the one that bears its name."""
    return final_path(Path(str(composed.paths.run if composed.resume in (None, AUTO) else composed.resume)))


def settle_resume(composed: DictConfig, overrides: Sequence[str]) -> Path | None:
    """With `resume=auto`, and in a job that SLURM has started again, see what there is of the run.

    Sets ``composed.resume`` to the directory to go on from, or to nothing for a new run; returns the directory of one
    that has finished. Raises ConfigError where `resume=auto` has no name to go by, or that run was configured
    otherwise.
    """
    if composed.resume != AUTO and not int(os.environ.get("SLURM_RESTART_COUNT", "0")):
        return None
    if composed.resume == AUTO and not {"run", "paths.run"} & set(map(_key, overrides)):
        found = "found auto for a run that is called by the time"
        raise ConfigError([f"resume: {found}; expected run=NAME, the same each time, or resume=<its directory>"])
    run = final_run_path(composed)
    if (run / "config.yaml").is_file():
        composed.resume = None
        _refuse_changes(stored_config(run), composed, overrides)
        return run
    has_begun = (partial_path(run) / "config.yaml").is_file()
    composed.resume = str(partial_path(run)) if has_begun else None
    return None


def stored_config(directory: Path) -> RunConfig:
    return load_config(yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8")))


def fingerprint(config: RunConfig) -> str:
    """The hash of all that decides what a run does, where no number of processes means one, as it does in the end."""
    settings = config_to_plain(config)
    _fill_in_count(settings, 1)
    return settings_hash(load_config(settings))


def _in_processes(config: RunConfig) -> RunConfig:
    """The configuration with its number of processes, refused where these or the tracker's key are not there."""
    wanted, parallel = config.trainer.num_processes, config.trainer.parallel
    count = wanted or launched_count() or 1
    if faults := [*(number_faults(wanted) or room_faults(count, parallel)), *key_faults(config.logger)]:
        raise ConfigError(faults)
    settings = config_to_plain(config)
    _fill_in_count(settings, count)
    return load_config(settings)


def _fill_in_count(settings: Mapping[str, Any], count: int | None) -> None:
    for trainer in (settings["trainer"], *(stage["trainer"] for stage in settings["stages"].values())):
        trainer["num_processes"] = trainer["num_processes"] or count


def _overrides_without_effect(composed: DictConfig, overrides: Sequence[str]) -> Iterator[str]:
    """`trainer.max_steps=10` does nothing where every stage says its own: refuse it rather than ignore it."""
    stages = as_mapping(composed.get("stages"))
    trainers = [as_mapping(as_mapping(stage).get("trainer")) for stage in stages.values()]
    for key in map(_key, overrides):
        setting = key.removeprefix("trainer.")
        if setting != key and stages and all(setting in trainer for trainer in trainers):
            own = " ".join(f"stages.{name}.trainer.{setting}=" for name in stages)
            yield f"{key}: reaches no stage, because each stage sets its own; expected {own}"


def _resumed(composed: DictConfig, overrides: Sequence[str]) -> RunConfig:
    directory = stored_run_directory(Path(str(composed.resume)))
    stored = stored_config(directory)
    _refuse_changes(stored, composed, overrides)
    settings = config_to_plain(stored)
    changed = {_key(override).split(".")[0] for override in overrides}
    if "report" in changed:
        settings["report"] = composed.report
    if "logger" in changed:
        given = as_mapping(OmegaConf.to_container(composed.logger, resolve=True))
        # the run keeps its name and its group unless these are given, too
        kept = {key: settings["logger"][key] for key in ("group", "run_name") if given.get(key) is None}
        settings["logger"] = {**given, **kept}
    again = load_config(settings)
    return replace(again, resume=directory, paths=replace(again.paths, run=final_path(directory)))


def _refuse_changes(stored: RunConfig, composed: DictConfig, overrides: Sequence[str]) -> None:
    others = [override for override in overrides if _key(override).split(".")[0] not in ("resume", "logger", "report")]
    if not others:
        return
    if not composed.get("name"):
        advice = "cannot change a stored run; remove it, or start a new run"
        raise ConfigError([f"{override}: {advice}" for override in others])
    given = deciding_settings(load_config(composed))
    _fill_in_count(given, stored.trainer.num_processes)
    for key, was in deciding_settings(stored)["dataset"].items():  # open settings were looked up when the run began
        is_open = key == "revision" and not is_commit(given["dataset"].get(key))
        if is_open or (key in ("train_split", "test_split") and given["dataset"].get(key) == AUTOMATIC):
            given["dataset"][key] = was
    if lines := list(_differences(deciding_settings(stored), given)):
        raise ConfigError([f"{line}; remove it, or start a new run without resume" for line in lines])


def stored_run_directory(path: Path, setting: str = "resume") -> Path:
    """The directory of a stored run, given with or without the suffix of a run in progress, or as the link `latest`.

    setting: the one that names it, for the error.
    """
    final = final_path(path.expanduser().resolve())
    for directory in (final, partial_path(final)):
        if (directory / "config.yaml").is_file():
            return directory
    raise RunDirectoryError(
        f"{setting}: found no config.yaml in {final} nor in {partial_path(final).name}, "
        "expected the directory of a run, outputs/<experiment>/<run>."
    )


def _key(override: str) -> str:
    return override.lstrip("+~").split("=")[0]


def _differences(stored: Any, given: Any, key: str = "") -> Iterator[str]:
    if isinstance(stored, Mapping) and isinstance(given, Mapping):
        for name in {**stored, **given}:
            yield from _differences(stored.get(name), given.get(name), f"{key}.{name}".lstrip("."))
    elif stored != given:
        yield f"{key}: found {given!r}, expected {stored!r} as in the stored run"
