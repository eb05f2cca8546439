"""Complete stages: what a stage does not set itself comes from ``trainer``, ``sft``, ``preference`` and ``grpo``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ldyn.algorithms import ALGORITHMS
from ldyn.errors import ConfigError, expected_one_of

ROLES = {"pointwise": "sft", "pairwise": "preference", "groupwise": "grpo"}
LENGTH = ("max_steps", "epochs")
FOR_EVERY_STAGE = ("learning_rate", *LENGTH)
"""Settings that ``trainer`` leaves open (null): a value there is for every stage, whatever sft and preference have."""
MOST_ROUNDS = 100
OLD_SETTINGS = {
    "recipe": "now sft.X, preference.X, stages.NAME.length, or trainer.X for every stage (sft.learning_rate=1e-4)",
    "algorithm@sft": "now algorithm@sft.algorithm=sft_token_mean",
}
"""Settings of earlier versions, and what to write instead."""
NOT_STORED = ("algorithm", *ROLES.values())
"""Nodes that only serve to write an experiment's stages."""


def as_mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one: another fault reports that it should be."""
    return value if isinstance(value, Mapping) else {}


def expand(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with complete stages: each has its start and all trainer settings.

    Raises ConfigError for rounds that cannot be, and where ``sft`` or ``preference`` has two lengths.
    """
    expanded = {key: value for key, value in settings.items() if key not in NOT_STORED}
    if isinstance(trainer := settings.get("trainer"), Mapping):
        open_rate = ("learning_rate",) if trainer.get("learning_rate") is None else ()
        expanded["trainer"] = {key: value for key, value in trainer.items() if key not in open_rate}
    if not isinstance(settings.get("stages"), Mapping):
        return expanded
    if faults := [*old_settings(settings), *_unknown_stages(settings["stages"]), *_double_lengths(settings)]:
        raise ConfigError(faults)
    stages, before = {}, "base"
    for name, stage in in_rounds(settings["stages"]).items():
        stages[name] = stage
        if isinstance(stage, Mapping):
            rest = {key: value for key, value in stage.items() if key != "length"}
            trainer = stage_trainer(settings, stage)
            stages[name] = {**rest, "start": stage.get("start") or before, "trainer": trainer}
        before = name
    return {**expanded, "stages": stages}


def stage_trainer(settings: Mapping[str, Any], stage: Mapping[str, Any]) -> dict[str, Any]:
    """Trainer settings of a stage: the run's, then those of its role, then its own."""
    trainer, role = as_mapping(settings.get("trainer")), _role_settings(settings, stage)
    everywhere = {key: trainer[key] for key in FOR_EVERY_STAGE if trainer.get(key) is not None}
    shared = _with(_with(trainer, role), everywhere)
    return _with(_times(shared, stage), as_mapping(stage.get("trainer")))


def setting_typed(key: str, settings: Mapping[str, Any]) -> str:
    """Where a user writes a stage's trainer setting that is not the stage's own: ``trainer.X``, ``sft.X``."""
    parts = key.split(".")
    stage = as_mapping(in_rounds(as_mapping(settings.get("stages"))).get(parts[1] if len(parts) > 3 else ""))
    if not stage or parts[2] != "trainer" or parts[3] in as_mapping(stage.get("trainer")):
        return key
    rest, trainer = ".".join(parts[3:]), as_mapping(settings.get("trainer"))
    role = _role_settings(settings, stage)
    is_of_role = parts[3] in role and role[parts[3]] != trainer.get(parts[3])
    is_for_all = parts[3] in FOR_EVERY_STAGE and trainer.get(parts[3]) is not None
    return f"{_role(stage)}.{rest}" if is_of_role and not is_for_all else f"trainer.{rest}"


def in_rounds(stages: Mapping[str, Any]) -> dict[str, Any]:
    """A stage of N ``rounds`` as stages <name>_1 ... <name>_N, each from the weights of the one before it.

    A later stage that starts from <name> starts from its last round.
    """
    expanded: dict[str, Any] = {}
    last_round: dict[str, str] = {}
    for name, stage in stages.items():
        settings = dict(as_mapping(stage))
        rounds = settings.pop("rounds", 1)
        settings["start"] = last_round.get(str(settings.get("start")), settings.get("start"))
        if not isinstance(stage, Mapping):
            expanded[name] = stage  # validation reports what is wrong with it
        elif rounds == 1:
            expanded[name] = settings
        elif not isinstance(rounds, int) or not 1 <= rounds <= MOST_ROUNDS:
            raise ConfigError([f"stages.{name}.rounds: found {rounds!r}, expected a whole number, 1 to {MOST_ROUNDS}"])
        else:
            for number in range(1, rounds + 1):
                expanded[f"{name}_{number}"] = settings
                settings = {**settings, "start": f"{name}_{number}"}
            last_round[name] = f"{name}_{rounds}"
    return expanded


def _role(stage: Mapping[str, Any]) -> str:
    known = ALGORITHMS.get(str(as_mapping(stage.get("algorithm")).get("name")))
    return ROLES[known.kind if known else "pairwise"]


def _role_settings(settings: Mapping[str, Any], stage: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in as_mapping(settings.get(_role(stage))).items() if key != "algorithm"}


def _with(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``; a length that ``above`` gives replaces both lengths of ``below``."""
    replaced = dict.fromkeys(LENGTH) if any(above.get(key) is not None for key in LENGTH) else {}
    return {**below, **replaced, **above}


def _times(trainer: Mapping[str, Any], stage: Mapping[str, Any]) -> dict[str, Any]:
    """With ``length: 2`` a stage makes twice as many updates as ``sft`` (or ``preference``) has it.

    A pass over chosen and rejected responses has twice as many updates as one over the chosen ones.
    """
    length = stage.get("length")
    if length is None:
        return dict(trainer)
    if isinstance(length, bool) or not isinstance(length, int | float) or not 0 < length <= 1000:
        raise ConfigError([f"stages.*.length: found {length!r}, expected a number above 0, at most 1000"])
    views = len(stage.get("view") or ()) if _role(stage) == "sft" else 1
    changed = dict(trainer)
    if isinstance(steps := trainer.get("max_steps"), int):
        changed["max_steps"] = max(1, round(steps * length))
    if isinstance(epochs := trainer.get("epochs"), int | float):
        changed["epochs"] = epochs * length / max(1, views)
    return changed


def _unknown_stages(stages: Mapping[str, Any]) -> Iterator[str]:
    known = [name for name, stage in stages.items() if set(as_mapping(stage)) != {"trainer"}]
    for name in stages:
        if name not in known:
            yield f"stages.{name}: found no such stage; {expected_one_of(name, known)}"


def _double_lengths(settings: Mapping[str, Any]) -> list[str]:
    faults = []
    for name in ROLES.values():
        steps, epochs = (as_mapping(settings.get(name)).get(key) for key in LENGTH)
        is_settled = any(as_mapping(settings.get("trainer")).get(key) is not None for key in LENGTH)
        if steps is not None and epochs is not None and not is_settled:
            advice = f"expected one of them: add {name}.max_steps=null or {name}.epochs=null"
            faults.append(f"{name}: found max_steps={steps} and epochs={epochs}, {advice}")
    return faults


def old_settings(keys: Iterable[str]) -> list[str]:
    """One fault for each key of a setting, as it may stand in an override, that has another name now."""
    plain = [key.lstrip("+~").partition("=")[0] for key in keys]
    names = {key: "recipe" if key.startswith("recipe.") else key for key in plain}
    return [f"{key}: {OLD_SETTINGS[name]}" for key, name in names.items() if name in OLD_SETTINGS]
