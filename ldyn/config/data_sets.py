"""The configuration of a data set alone, for commands that train nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from ldyn.config.loading import plain_settings, validated
from ldyn.data.sources import DatasetConfig


@dataclass(frozen=True)
class _DataSet:
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    dataset: Annotated[DatasetConfig, Field(discriminator="source")]


def load_dataset_config(composed: DictConfig) -> DatasetConfig:
    """The ``dataset`` of what was composed for `ldyn train`; every fault found is in the one ConfigError."""
    part = OmegaConf.masked_copy(composed, ["dataset"])
    return validated(_DataSet, part, plain_settings(part), lambda _: []).dataset
