"""What types cannot say: whether the parts of a configuration fit each other and the disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ldyn.algorithms import ALGORITHMS, algorithm_faults, algorithm_parameters
from ldyn.answers.judges import judge_fault
from ldyn.answers.rewards import REWARDS, reward_fault
from ldyn.answers.settings import FACTS, JUDGES
from ldyn.config.schema import RunConfig, StageConfig, fit_for_a_directory
from ldyn.config.stages import as_mapping
from ldyn.errors import expected_one_of
from ldyn.models.settings import PretrainedConfig, TinyConfig


def experiment_faults(settings: Mapping[str, Any]) -> list[str]:
    """Faults of the stages and of the input files, in a configuration that may have others as well."""
    return [*_stage_faults(as_mapping(settings.get("stages"))), *_path_faults(settings)]


def fitting_faults(config: RunConfig) -> list[str]:
    """Faults between settings that have the right types each."""
    stages = config.stages.items()
    trainers = [f"stages.{name}.trainer.{fault}" for name, stage in stages for fault in stage.trainer.faults()]
    checks = (_process_faults, _room_faults, _dtype_faults, _wins_faults, _judge_faults, _rollout_faults)
    return [*trainers, *(fault for check in checks for fault in check(config))]


def _process_faults(config: RunConfig) -> Iterator[str]:
    for name, stage in config.stages.items():
        for setting in ("num_processes", "parallel"):
            found, expected = getattr(stage.trainer, setting), getattr(config.trainer, setting)
            if found != expected:
                key, why = f"stages.{name}.trainer.{setting}", "all stages of a run have the same processes"
                yield f"{key}: found {found}, expected {expected} as in trainer.{setting}: {why}"


def _room_faults(config: RunConfig) -> Iterator[str]:
    if not isinstance(config.model, TinyConfig):
        return
    encoding, room = config.dataset.encoding, config.model.max_positions
    written = {"samples": config.samples.max_new_tokens}
    for stage in _groupwise(config):
        written["algorithm"] = algorithm_parameters(stage.algorithm)["max_new_tokens"]
    if config.passes:
        written["passes"] = config.passes.max_new_tokens
    most, setting = max(
        (encoding.max_tokens, "dataset.encoding.max_tokens"),
        *(
            (encoding.max_prompt_tokens + int(tokens), f"dataset.encoding.max_prompt_tokens + {key}.max_new_tokens")
            for key, tokens in written.items()
        ),
    )
    if most > room:
        advice = f"expected at least {most} ({setting}). Add model=tiny_hh, made for real text, or shorten the texts"
        yield f"model.max_positions: found {room}, {advice}"


def _dtype_faults(config: RunConfig) -> Iterator[str]:
    """Whether the weights are trained in float32: small updates round to nothing in 16 bits."""
    if isinstance(config.model, PretrainedConfig) and config.model.dtype != "float32":
        expected = "expected float32, as updates are lost in 16-bit weights; for 16-bit arithmetic set"
        yield f"model.dtype: found {config.model.dtype}, {expected} trainer.precision=bf16"


def _wins_faults(config: RunConfig) -> Iterator[str]:
    if config.wins is None:
        return
    pairwise = {name: stage.start for name, stage in config.stages.items() if _is_of_kind(stage, "pairwise")}
    arms = [name for name, start in pairwise.items() if start not in pairwise]
    if len(arms) < 2:
        found = ", ".join(arms) or "none"
        yield f"wins: found {len(arms)} preference stages after an SFT ({found}), expected at least 2 to compare"
    if config.trainer.parallel == "fsdp" and any(config.stages[name].trainer.snapshots for name in pairwise):
        yield "wins: found snapshots under parallel=fsdp, which hold divided weights, expected ddp, or snapshots=null"


def _judge_faults(config: RunConfig) -> Iterator[str]:
    labelled = {f"stages.{name}.responses.judge": stage.responses.judge for name, stage in config.stages.items()}
    judges = [(key, judge, True) for key, judge in labelled.items() if judge is not None]
    judges += [("wins.judges", judge, False) for judge in (config.wins.judges if config.wins else ())]
    for key, judge, scoring in judges:
        if fault := judge_fault(judge, scoring=scoring):
            yield f"{key}: {fault}"
        elif judge == FACTS and config.dataset.source != "microworld":
            yield f"{key}: found facts, which knows the microworld only, expected another judge: {JUDGES}"


def _rollout_faults(config: RunConfig) -> Iterator[str]:
    """Of what samples answers while a stage trains: rewards and facts that are not there, and what does not sample."""
    microworld = config.dataset.source == "microworld"
    for name, stage in config.stages.items():
        if not _is_of_kind(stage, "groupwise"):
            continue
        reward = str(stage.algorithm.get("reward", FACTS))
        if fault := reward_fault(reward):
            yield f"stages.{name}.algorithm.reward: {fault}"
        elif reward == FACTS and not microworld:
            expected = f"expected another reward: {REWARDS}"
            yield f"stages.{name}.algorithm.reward: found facts, which knows the microworld only, {expected}"
        if stage.responses.sampled:
            yield f"stages.{name}.responses: found sampled answers, expected none: grpo samples its own"
        if stage.trainer.parallel == "fsdp":
            yield f"stages.{name}.trainer.parallel: found fsdp, expected ddp: grpo samples from whole weights"
    if config.passes and not microworld:
        yield f"passes: found {config.passes}, expected null: which answers are right is known in the microworld only"
    if config.passes and config.trainer.parallel == "fsdp":
        yield "passes: found them under parallel=fsdp, expected ddp, or passes=null: they sample from whole weights"
    if config.decompose and (names := [name for name, one in config.stages.items() if one in _groupwise(config)]):
        found = f"found it with {', '.join(names)}"
        yield f"decompose: {found}, expected null: an update of grpo cannot be repeated, as its answers are not kept"


def _groupwise(config: RunConfig) -> list[StageConfig]:
    return [stage for stage in config.stages.values() if _is_of_kind(stage, "groupwise")]


def _is_of_kind(stage: StageConfig, kind: str) -> bool:
    known = ALGORITHMS.get(str(stage.algorithm.get("name")))
    return known is not None and known.kind == kind


def _stage_faults(stages: Mapping[str, Any]) -> Iterator[str]:
    earlier = ["base"]
    for name, stage in stages.items():
        if name == "base":
            yield "stages.base: found a stage called base, expected another name: base is the model before any stage"
        try:
            fit_for_a_directory(str(name))
        except ValueError as error:
            yield f"stages: found a stage called {name!r}, {error}"
        if isinstance(stage, Mapping):
            yield from (f"stages.{name}.{fault}" for fault in _one_stage_faults(stage, earlier))
        earlier.append(name)


def _one_stage_faults(stage: Mapping[str, Any], earlier: list[str]) -> Iterator[str]:
    start, algorithm, view = stage.get("start"), stage.get("algorithm"), stage.get("view") or []
    if start not in earlier:
        yield f"start: found {start!r}, which is no earlier stage; {expected_one_of(str(start), earlier)}"
    if not isinstance(algorithm, Mapping):
        return
    yield from (f"algorithm.{fault}" for fault in algorithm_faults(algorithm))
    known = ALGORITHMS.get(str(algorithm.get("name")))
    if known is not None and known.kind == "pointwise" and not view:
        yield "view: found no responses, expected [chosen], [rejected] or [chosen, rejected]"
    if known is not None and known.kind == "pairwise" and sorted(view) != ["chosen", "rejected"]:
        yield f"view: found {list(view)}, expected [chosen, rejected]: {known.name} compares the two"


def _path_faults(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _path_faults(child, f"{key}.{name}".lstrip("."))
    if not isinstance(value, str) or not (value.startswith("~") or key == "dataset.path"):
        return
    try:
        exists = Path(value).expanduser().exists()
    except RuntimeError:
        yield f"{key}: found {value!r}, but this machine has no such user. Write ./~NAME for a directory"
    except (OSError, ValueError) as error:
        yield f"{key}: found {value[:80]!r}, which is no path ({error})"
    else:
        if key == "dataset.path" and not exists:
            yield f"{key}: found {value!r}, which does not exist from {Path.cwd()}, expected a file or directory"
