"""From a composed mapping to a typed configuration and back to YAML."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from ldyn.bench.settings import ProbesBenchConfig, TrainBenchConfig
from ldyn.config.checks import as_mapping, experiment_faults, fitting_faults, train_bench_faults
from ldyn.config.faults import fault_lines
from ldyn.config.schema import RunConfig, StudyConfig
from ldyn.errors import ConfigError

TEMPLATES = ("algorithm", "sft", "recipe")
"""Top-level nodes that the stages of an experiment refer to; they are nothing by themselves."""

Config = TypeVar("Config")
Study = TypeVar("Study", bound=StudyConfig)


def load_config(composed: DictConfig | Mapping[str, Any]) -> RunConfig:
    """Validate a composed configuration; every fault found is in the one ConfigError."""
    return validated(RunConfig, composed, expand(plain_settings(composed)), fitting_faults)


def load_bench_config(composed: DictConfig) -> ProbesBenchConfig:
    """The same for `ldyn bench probes`."""
    return validated(ProbesBenchConfig, composed, plain_settings(composed), lambda _: [])


def load_study_config(kind: type[Study], composed: DictConfig | Mapping[str, Any]) -> Study:
    """The same for a study of the given kind."""
    return validated(kind, composed, plain_settings(composed), lambda _: [])


def load_train_bench_config(composed: DictConfig) -> TrainBenchConfig:
    """The same for `ldyn bench train`; the stages' recipes are of no use there."""
    settings = {key: value for key, value in plain_settings(composed).items() if key != "recipe"}
    return validated(TrainBenchConfig, composed, settings, train_bench_faults)


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
        said = tuple(f"{key}:" for key in _missing_keys(composed))
        raise ConfigError([*missing, *(fault for fault in faults if not fault.startswith(said))])
    return config


def config_to_yaml(config: RunConfig | StudyConfig) -> str:
    """The configuration as YAML; `load_config` of what it says gives an equal RunConfig."""
    # Escaped: PyYAML misreads some of its own plain Unicode.
    return yaml.safe_dump(config_to_plain(config), sort_keys=False, width=120)


def config_to_plain(config: RunConfig | StudyConfig) -> dict[str, Any]:
    """The configuration as `yaml.safe_load` reads it from `config_to_yaml`, without the text in between."""
    plain: dict[str, Any] = _adapter(type(config)).dump_python(config, mode="json")
    return plain


def expand(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what a stage leaves out: its trainer settings from the run's, its start from the stage before it."""
    expanded = {key: value for key, value in settings.items() if key not in TEMPLATES}
    if not isinstance(settings.get("stages"), Mapping):
        return expanded
    stages, before = {}, "base"
    for name, stage in in_rounds(settings["stages"]).items():
        stages[name] = stage
        if isinstance(stage, Mapping):
            trainer = {**as_mapping(settings.get("trainer")), **as_mapping(stage.get("trainer"))}
            stages[name] = {**stage, "start": stage.get("start") or before, "trainer": trainer}
        before = name
    return {**expanded, "stages": stages}


def in_rounds(stages: Mapping[str, Any]) -> dict[str, Any]:
    """A stage of so many ``rounds`` as stages <name>_1, <name>_2 ..., each from the weights of the one before it.

    A later stage that starts from <name> starts from its last round.
    """
    expanded: dict[str, Any] = {}
    last_round: dict[str, str] = {}
    for name, stage in stages.items():
        settings = dict(as_mapping(stage))
        rounds = settings.pop("rounds", 1)
        settings["start"] = last_round.get(str(settings.get("start")), settings.get("start"))
        if not isinstance(stage, Mapping):
            expanded[name] = stage  # validation says what is wrong with it
        elif rounds == 1:
            expanded[name] = settings
        elif not isinstance(rounds, int) or rounds < 1:
            raise ConfigError([f"stages.{name}.rounds: found {rounds!r}, expected a whole number, 1 or more"])
        else:
            for number in range(1, rounds + 1):
                expanded[f"{name}_{number}"] = settings
                settings = {**settings, "start": f"{name}_{number}"}
            last_round[name] = f"{name}_{rounds}"
    return expanded


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
    """Keys that the YAML files leave for the user to fill in (`???`)."""
    return sorted(OmegaConf.missing_keys(composed)) if isinstance(composed, DictConfig) else []


_adapters: dict[type[Any], TypeAdapter[Any]] = {}  # to make one takes longer than what it is used for


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
