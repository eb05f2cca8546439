"""Every YAML file composes, and everything that composes is a valid configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from ldyn.cli.hydra_jobs import composed_settings
from ldyn.config.groups import config_directory, description, experiments, groups
from ldyn.config.loading import load_config

DIR = config_directory()
ADDED = ("algorithm/gate",)  # groups of which an experiment has no option unless one is added with a plus
OPTIONS = [
    f"{'+' if group in ADDED else ''}{group}={name}"
    for group, names in groups([DIR]).items()
    if group not in ("exp", "hydra/launcher")
    for name in names
]


def composed(*overrides: str) -> DictConfig:
    return composed_settings("train", list(overrides))


def _with_path(config: DictConfig, directory: Path) -> DictConfig:
    """The input directory is for the user to say; all else has a value."""
    for key in OmegaConf.missing_keys(config):
        assert key in ("dataset.path", "dataset.name", "model.name_or_path")
        OmegaConf.update(config, key, str(directory))
    return config


@pytest.mark.parametrize("name", experiments([DIR]))
def test_every_experiment_is_a_valid_configuration(name: str, tmp_path: Path) -> None:
    config = load_config(_with_path(composed(f"+exp={name}"), tmp_path))
    assert config.name == name
    assert next(iter(config.stages.values())).start == "base"


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_every_group_is_valid(option: str, tmp_path: Path) -> None:
    wide_enough = ["model=tiny_hh"] if option.startswith("dataset=") else []
    special = {"wins": "extend", "size": "hh"}  # answers of one arm alone cannot win; sizes are of the real experiments
    experiment = special.get(option.split("=", maxsplit=1)[0], "dpo_squeeze")
    load_config(_with_path(composed(f"+exp={experiment}", *wide_enough, option), tmp_path))


@pytest.mark.parametrize("path", sorted(DIR.rglob("*.yaml")), ids=lambda path: path.relative_to(DIR).as_posix())
def test_every_file_says_what_it_is(path: Path) -> None:
    assert description(path), f"{path} does not begin with a comment line"


def test_every_experiment_keeps_the_order_of_its_stages() -> None:
    order = ["sft", "dpo", "extend", "dpo_extend", "extend_exposure", "dpo_extend_exposure"]
    assert list(load_config(composed("+exp=extend")).stages) == order
