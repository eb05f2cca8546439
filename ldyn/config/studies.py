"""What each study is configured by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from annotated_types import Ge
from omegaconf import DictConfig, OmegaConf

from ldyn.config.jobs import stored_run_directory
from ldyn.config.loading import config_to_plain, load_config, load_study_config, plain_settings
from ldyn.config.schema import DecomposeStudyConfig, StudyConfig
from ldyn.errors import ConfigError
from ldyn.theory.settings import ImagesConfig, ToyConfig


@dataclass(frozen=True)
class RepeatedStudy(StudyConfig):
    """A study that repeats itself under ``seeds`` seeds, from ``seed`` on."""

    seeds: Annotated[int, Ge(1)]

    @property
    def all_seeds(self) -> Sequence[int]:
        return range(self.seed, self.seed + self.seeds)


@dataclass(frozen=True)
class ToyStudy(RepeatedStudy):
    """Everything that `ldyn toy` needs."""

    toy: ToyConfig


@dataclass(frozen=True)
class ImagesStudy(RepeatedStudy):
    """Everything that `ldyn images` needs."""

    images: ImagesConfig


OF_THE_STUDY = ("name", "run", "paths", "decompose")
"""What may be set beside a stored run; everything else is the run's."""


def decompose_config(composed: DictConfig, overrides: Sequence[str]) -> DecomposeStudyConfig:
    """Validate what was composed; with `decompose.run=<run>` the experiment is that run's stored configuration."""
    path = OmegaConf.select(composed, "decompose.run")
    if path is None:
        experiment = load_config(OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "decompose"]))
    elif faults := list(_without_effect(overrides)):
        raise ConfigError(faults)
    else:
        file = stored_run_directory(Path(str(path)), "decompose.run") / "config.yaml"
        stored = yaml.safe_load(file.read_text(encoding="utf-8"))
        experiment = load_config({**stored, "paths": {**stored["paths"], "cache": str(composed.paths.cache)}})
    directories = {"outputs": str(composed.paths.outputs), "run": str(composed.paths.run)}
    own = {"name": composed.name, "run": composed.run, "seed": experiment.seed, "paths": directories}
    decompose = plain_settings(composed)["decompose"]
    parts = {"decompose": decompose, "experiment": config_to_plain(experiment)}
    return load_study_config(DecomposeStudyConfig, {**own, **parts})


def _without_effect(overrides: Sequence[str]) -> Iterator[str]:
    for key in (override.lstrip("+~").split("=")[0] for override in overrides):
        if key.split(".")[0].split("@")[0] not in OF_THE_STUDY:
            yield f"{key}: reaches nothing, as decompose.run brings its own settings; leave out this one, or the run"
