"""Load preference data from any source, and hash it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from ldyn.data.hub import HubConfig, load_hub, pinned
from ldyn.data.local_files import FilesConfig, load_files
from ldyn.data.microworld import MicroworldConfig, load_microworld
from ldyn.records import PreferenceData

__all__ = [
    "DatasetConfig",
    "FilesConfig",
    "HubConfig",
    "MicroworldConfig",
    "base_seed",
    "data_fingerprint",
    "load_data",
    "pinned_dataset",
]

DatasetConfig = Annotated[MicroworldConfig | FilesConfig | HubConfig, Field(discriminator="source")]


def load_data(config: DatasetConfig, seed: int) -> PreferenceData:
    """Load or generate the data set of ``config``; the same config and seed give the same data.

    Raises DataError if it cannot be read.
    """
    match config:
        case HubConfig():
            return load_hub(config, seed)
        case FilesConfig():
            return load_files(config, seed)
    return load_microworld(config, seed)


def base_seed(config: DatasetConfig, seed: int) -> int:
    """The seed of a base model that is pretrained on the corpus of ``config``, in a run of ``seed``."""
    of_world = config.world_seed if isinstance(config, MicroworldConfig) else None
    return seed if of_world is None else of_world


def pinned_dataset(config: DatasetConfig) -> DatasetConfig:
    """The configuration with commit and splits resolved now, for a set of the hub: see ``hub.pinned``."""
    return pinned(config) if isinstance(config, HubConfig) else config


def data_fingerprint(data: PreferenceData) -> str:
    """sha256 over every pair, probe example and corpus document, in order, wherever they came from."""
    digest = hashlib.sha256()
    for record in _records(data):
        digest.update(json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return digest.hexdigest()


def _records(data: PreferenceData) -> Iterator[list[Any]]:
    for pair in data.pairs:
        yield ["pair", pair.pair_id, pair.prompt, pair.chosen, pair.rejected, *pair.turns]
    for split, examples in data.probes.items():
        for example in examples:
            texts = sorted(example.responses.items())
            yield ["probe", split, example.example_id, example.prompt, texts, *example.turns]
    for document in data.corpus:
        yield ["document", document]
