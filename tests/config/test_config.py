"""A composed mapping becomes a RunConfig or one error with every fault; its YAML reads back as the same config."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ldyn.config.faults import dotted
from ldyn.config.groups import config_directory
from ldyn.config.loading import config_to_yaml, load_config, settings_hash
from ldyn.config.schema import RunConfig
from ldyn.config.stages import in_rounds
from ldyn.errors import ConfigError, Interrupted


def composed_settings(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        settings = OmegaConf.to_container(compose("train", list(overrides)), resolve=True)
    assert isinstance(settings, dict)
    return settings


SQUEEZE = composed_settings("+exp=dpo_squeeze")


@pytest.fixture
def settings() -> dict[str, Any]:
    return copy.deepcopy(SQUEEZE)


def faults_of(settings: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(settings)
    return caught.value.faults


def test_the_experiment_is_what_the_paper_does(settings: dict[str, Any]) -> None:
    config = load_config(settings)
    sft, dpo = config.stages["sft"], config.stages["dpo"]
    assert (sft.view, sft.start, sft.algorithm["name"]) == (("chosen",), "base", "sft")
    assert (dpo.view, dpo.start, dpo.algorithm) == (("chosen", "rejected"), "sft", {"name": "dpo", "beta": 0.1})
    assert config.paths.run == Path("outputs/dpo_squeeze") / config.run


def test_an_open_world_seed_leaves_the_hash_of_the_settings_as_it_was(settings: dict[str, Any]) -> None:
    of_its_own = settings_hash(load_config(settings))
    settings["dataset"]["world_seed"] = 0
    fixed = settings_hash(load_config(settings))
    del settings["dataset"]["world_seed"]  # as in the config.yaml of runs that had no such setting
    assert of_its_own == settings_hash(load_config(settings)) != fixed


def test_a_stage_takes_the_trainer_of_the_run_but_for_its_own_settings(settings: dict[str, Any]) -> None:
    settings["trainer"]["log_every"] = 5
    settings["stages"]["dpo"]["trainer"] = {"batch_size": 3}
    config = load_config(settings)
    assert config.stages["sft"].trainer.log_every == 5
    assert config.stages["dpo"].trainer == dataclasses.replace(
        config.trainer, batch_size=3, learning_rate=2e-5, max_steps=400
    )


@pytest.mark.parametrize("overrides", [("+exp=extend",), ("+exp=dpo_squeeze", "model=pythia_410m", "trainer=paper")])
def test_yaml_reads_back_as_the_same_config(overrides: tuple[str, ...]) -> None:
    config = load_config(composed_settings(*overrides))
    again = load_config(yaml.safe_load(config_to_yaml(config)))
    assert again == config
    assert list(again.stages) == list(config.stages)


@hypothesis_settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rate=st.floats(1e-30, 1e30),
    beta=st.floats(1e-300, 1e300),
    run=st.from_regex(r"\w[\w.+-]{0,20}", fullmatch=True),
    tags=st.lists(st.text(max_size=8), max_size=3),
)
def test_yaml_keeps_every_number_and_text(seed: int, rate: float, beta: float, run: str, tags: list[str]) -> None:
    settings = {**copy.deepcopy(SQUEEZE), "seed": seed, "run": run}
    settings["sft"]["learning_rate"] = rate
    settings["stages"]["dpo"]["algorithm"]["beta"] = beta
    settings["logger"]["tags"] = tags
    config = load_config(settings)
    assert load_config(yaml.safe_load(config_to_yaml(config))) == config


def test_all_faults_are_told_together(settings: dict[str, Any]) -> None:
    settings["seed"] = "one"
    settings["model"]["layerz"] = 3
    settings["trainer"]["batch_size"] = 0
    settings["stages"]["sft"]["view"] = ["chosenn"]
    settings["stages"]["dpo"]["start"] = "sfd"
    settings["stages"]["dpo"]["algorithm"]["beta"] = -1
    settings["probes"]["schedule"]["kind"] = "lin"
    told = "\n".join(faults_of(settings))
    assert len(told.splitlines()) == 7
    assert "seed: found 'one', expected a valid integer" in told
    assert "model.layerz: unknown key; did you mean layers? expected one of" in told
    assert "trainer.batch_size: found 0, expected greater than 0" in told
    assert "stages.sft.view.0: found 'chosenn', expected 'chosen' or 'rejected'" in told
    assert "stages.dpo.start: found 'sfd', which is no earlier stage; did you mean sft?" in told
    assert "stages.dpo.algorithm.beta: found -1" in told
    assert "probes.schedule.kind: found 'lin', expected 'linear' or 'log'" in told


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("sede", 1, "sede: unknown key; did you mean seed?"),
        ("seed", True, "seed: found True, expected a valid integer"),
        ("name", "a/b", "name: found 'a/b', expected a name for a directory"),
        ("run", "a" * 300, f"run: found '{'a' * 119}…, expected a name for a directory, of at most 200 bytes"),
        ("seed", 2**32, "seed: found 4294967296, expected less than or equal to 4294967295"),
        ("sft.learning_rate", float("inf"), "sft.learning_rate: found inf, expected a finite number"),
        (
            "stages.a/b",
            {"algorithm": {"name": "sft"}, "view": ["chosen"]},
            "stages: found a stage called 'a/b', expect",
        ),
        ("probes.path", "~nobody-here/x", "probes.path: found '~nobody-here/x', but this machine has no such user"),
        ("model.kind", "tinny", "model: found kind=tinny, expected one of 'tiny', 'pretrained'"),
        ("dataset.source", "hug", "dataset: found source=hug, expected one of"),
        ("dataset.encoding.max_tokens", 8, "dataset.encoding: max_tokens is 8 and max_prompt_tokens 32"),
        ("probes.token_budget", "many", "probes.token_budget: found 'many', expected a valid integer or 'auto'"),
        ("probes.families", 5, "probes.families: found 5, expected 'all' or a valid array"),
        ("stages", 3, "stages: found 3, expected a mapping"),
        ("stages", {}, "stages: found {}, expected at least one item"),
        ("stages.dpo", None, "stages.dpo: found None, expected a mapping"),
        ("stages.dpo.view", ["chosen"], "stages.dpo.view: found ['chosen'], expected [chosen, rejected]: dpo compares"),
        ("stages.dpo.algorithm", {"name": "dpoo"}, "stages.dpo.algorithm.name: found 'dpoo'; did you mean dpo"),
        ("stages.dpo.rounds", 1_000_000, "stages.dpo.rounds: found 1000000, expected a whole number, 1 to"),
        ("stages.dpo.algorithm.gamma", 1, "stages.dpo.algorithm.gamma: dpo has no such parameter"),
        ("preference.epochs", 2, "preference: found max_steps=400 and epochs=2, expected one of them"),
        ("stages.sft.start", "dpo", "stages.sft.start: found 'dpo', which is no earlier stage"),
        ("stages.dpo.trainer.batch_size", 0, "stages.dpo.trainer.batch_size: found 0, expected greater than 0"),
        ("stages.dpo.trainer.gradient_accumulation", 3, "trainer.batch_size: found 8, expected a multiple"),
        ("stages.dpo.trainer.num_processes", 2, "stages.dpo.trainer.num_processes: found 2, expected None as in"),
        ("stages.dpo.trainer.lora", {"ranks": 4}, "stages.dpo.trainer.lora.ranks: unknown key; did you mean rank?"),
    ],
)
def test_each_fault_says_what_was_found_and_what_was_expected(
    settings: dict[str, Any], path: str, value: Any, fault: str
) -> None:
    *parents, key = path.split(".")
    target = settings
    for parent in parents:
        target = target.setdefault(parent, {})
    target[key] = value
    faults = faults_of(settings)
    assert len(faults) == 1, faults
    assert faults[0].startswith(fault)


def test_a_tiny_model_has_room_for_what_it_reads_and_writes(settings: dict[str, Any]) -> None:
    settings["model"] |= {"max_positions": 79, "sequence_length": 64}
    settings["samples"]["max_new_tokens"] = 50
    [fault] = faults_of(settings)
    assert fault.startswith("model.max_positions: found 79, expected at least 82 (dataset.encoding.max_prompt_tokens +")


def test_a_missing_input_directory_is_found_before_anything_is_loaded(tmp_path: Path) -> None:
    settings = composed_settings("+exp=hh_tiny", f"dataset.path={tmp_path / 'nothing'}")
    [fault] = faults_of(settings)
    assert fault.startswith(f"dataset.path: found '{tmp_path / 'nothing'}', which does not exist")


def test_what_the_user_has_to_say_is_asked_for() -> None:
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose("train", ["+exp=hh_tiny"])
    with pytest.raises(ConfigError, match=r"dataset\.path: found nothing, expected a value"):
        load_config(config)


def test_a_reference_that_leads_nowhere_is_a_fault() -> None:
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose("train", ["+exp=dpo_squeeze", "seed=${nowhere}"])
    with pytest.raises(ConfigError, match="nowhere"):
        load_config(config)


def mappings_of(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all mappings with fixed keys; names of stages are the experiment's own."""
    if not isinstance(value, dict) or path[-1:] == ("algorithm",) or path[:1] in (("sft",), ("preference",), ("grpo",)):
        return []
    inner = [found for key, child in value.items() for found in mappings_of(child, (*path, key))]
    return inner if path == ("stages",) else [path, *inner]


@pytest.mark.parametrize("path", mappings_of(SQUEEZE), ids=".".join)
def test_every_mapping_refuses_unknown_keys(settings: dict[str, Any], path: tuple[str, ...]) -> None:
    """Also those of components that say nothing of it: pydantic hands the rule down from RunConfig."""
    target = settings
    for key in path:
        target = target[key]
    target["surprise"] = 1
    [fault] = faults_of(settings)
    assert fault.startswith(".".join((*path, "surprise")) + ": unknown key")


def test_locations_are_written_as_the_user_writes_keys() -> None:
    assert dotted(("model", "tiny", "layers"), RunConfig) == "model.layers"
    assert dotted(("stages", "tiny", "trainer", "epochs"), RunConfig) == "stages.tiny.trainer.epochs"
    assert dotted(("dataset", "jsonl", "encoding", "separator"), RunConfig) == "dataset.encoding.separator"


def test_errors_survive_pickling() -> None:
    faults = pickle.loads(pickle.dumps(ConfigError(["a: b", "c: d"])))  # noqa: S301 - our own
    assert (faults.faults, str(faults)) == (["a: b", "c: d"], str(ConfigError(["a: b", "c: d"])))
    stopped = pickle.loads(pickle.dumps(Interrupted(15, "stopped")))  # noqa: S301 - our own
    assert (stopped.exit_code, stopped.signal_number, str(stopped)) == (143, 15, "stopped")


def test_a_stage_of_several_rounds_becomes_as_many_stages():
    algorithm, view = {"name": "dpo"}, ["chosen", "rejected"]
    stages = in_rounds(
        {
            "sft": {"algorithm": {"name": "sft"}, "start": "base"},
            "dpo": {"algorithm": algorithm, "view": view, "start": "sft", "rounds": 3},
            "after": {"algorithm": algorithm, "view": view, "start": "dpo"},
        }
    )
    assert [(name, stage["start"]) for name, stage in stages.items()] == [
        ("sft", "base"),
        ("dpo_1", "sft"),
        ("dpo_2", "dpo_1"),
        ("dpo_3", "dpo_2"),
        ("after", "dpo_3"),
    ]
    assert all("rounds" not in stage for stage in stages.values())
