"""A data set, chosen on the command line as `ldyn train` does it: dataset=hh dataset.n_train=1000."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ldyn.cli.hydra_jobs import composed_settings
from ldyn.errors import ConfigError

if TYPE_CHECKING:
    from ldyn.data.sources import DatasetConfig


def dataset_config(words: Sequence[str]) -> DatasetConfig:
    """What the words choose. Raises ConfigError for words that choose anything else, or nothing that can be."""
    from ldyn.config.data_sets import load_dataset_config

    if faults := [f"{word}: {_EXPECTED}" for word in words if not _is_about_data(word)]:
        raise ConfigError(faults)
    return load_dataset_config(composed_settings("train", words))


_EXPECTED = "found a word that chooses no data, expected dataset=NAME or dataset.SETTING=VALUE"


def _is_about_data(word: str) -> bool:
    key, equals, _ = word.lstrip("+~").partition("=")
    return bool(equals) and key.split(".")[0] == "dataset"
