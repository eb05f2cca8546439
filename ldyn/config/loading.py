"""From a composed mapping to a typed configuration and back to YAML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from ldyn.config.checks import experiment_faults, fitting_faults
from ldyn.config.faults import fault_lines
from ldyn.config.schema import RunConfig, StudyConfig
from ldyn.config.stages import expand, setting_typed
from ldyn.errors import ConfigError

OF_THE_JOB = ("run", "resume", "paths", "logger", "report")
"""What may differ between the jobs of one run; everything else decides the trajectory."""

Config = TypeVar("Config")
Study = TypeVar("Study", bound=StudyConfig)


def load_config(composed: DictConfig | Mapping[str, Any]) -> RunConfig:
    """Validate a composed configuration; every fault found is in the one ConfigError."""
    return validated(RunConfig, composed, expand(plain_settings(composed)), fitting_faults)


def load_study_config(kind: type[Study], composed: DictConfig | Mapping[str, Any]) -> Study:
    """The same for a study of the given kind."""
    return validated(kind, composed, plain_settings(composed), lambda _: [])


def validated(
    kind: type[Config],
    composed: DictConfig | Mapping[str, Any],
    settings: dict[str, Any],
    fitting: Callable[[Config], list[str]],
) -> Config:
    """``settings``, made from ``composed``, as ``kind``; ``fitting`` finds faults between settings of right types."""
    missing = [f"{key}: found nothing, expected a value" for key in _missing_keys(composed)]
    faults = experiment_faults(settings)
    try:
        config: Config = _adapter(kind).validate_json(json.dumps(settings, default=str), strict=True)
        faults += fitting(config)
    except ValidationError as error:
        faults = [*fault_lines(error, kind), *faults]
    if missing or faults:
        faults = list(dict.fromkeys(_as_typed(fault, composed) for fault in faults))
        said = tuple(f"{key}:" for key in _missing_keys(composed))
        raise ConfigError([*missing, *(fault for fault in faults if not fault.startswith(said))])
    return config


def _as_typed(fault: str, composed: DictConfig | Mapping[str, Any]) -> str:
    key, separator, text = fault.partition(": ")
    return f"{setting_typed(key, plain_settings(composed))}{separator}{text}" if key.startswith("stages.") else fault


def config_to_yaml(config: RunConfig | StudyConfig) -> str:
    """The configuration as YAML; `load_config` of what it says gives an equal RunConfig."""
    # Escaped: PyYAML misreads some of its own plain Unicode.
    return yaml.safe_dump(config_to_plain(config), sort_keys=False, width=120)


def config_to_plain(config: RunConfig | StudyConfig) -> dict[str, Any]:
    """The configuration as `yaml.safe_load` reads it from `config_to_yaml`, without the text in between."""
    plain: dict[str, Any] = _adapter(type(config)).dump_python(config, mode="json")
    return plain


def deciding_settings(config: RunConfig | StudyConfig) -> dict[str, Any]:
    """The settings, as YAML has them, without those of the job, a world's seed that is the run's, unset passes."""
    settings = config_to_plain(config)
    if settings.get("dataset", {}).get("world_seed", 0) is None:
        del settings["dataset"]["world_seed"]
    if settings.get("passes", 0) is None:
        del settings["passes"]
    return {key: value for key, value in settings.items() if key not in OF_THE_JOB}


def settings_hash(config: RunConfig | StudyConfig) -> str:
    """sha256 of the deciding settings; a run keeps it in its manifest, ``hashes.settings``."""
    return hashlib.sha256(json.dumps(deciding_settings(config), sort_keys=True).encode()).hexdigest()


def plain_settings(composed: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The settings without references; raises ConfigError where one of these leads nowhere."""
    if not isinstance(composed, DictConfig):
        return dict(composed)
    try:
        plain = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError([" ".join(str(error).split())]) from error
    return {str(key): value for key, value in plain.items()} if isinstance(plain, dict) else {}


def _missing_keys(composed: DictConfig | Mapping[str, Any]) -> list[str]:
    return sorted(OmegaConf.missing_keys(composed)) if isinstance(composed, DictConfig) else []


_adapters: dict[type[Any], TypeAdapter[Any]] = {}  # to make one takes longer than what it is used for


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
