"""Models by name: the base and the stages of a run, a saved model's directory, or a model of the hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from ldyn.config.loading import load_config
from ldyn.config.schema import RunConfig
from ldyn.data.sources import base_seed, load_data
from ldyn.errors import RunDirectoryError, expected_one_of
from ldyn.models.loading import load_base
from ldyn.models.pretrained import Loaded, load_pretrained
from ldyn.models.settings import PretrainedConfig
from ldyn.store.reader import find_run
from ldyn.training.adapters import merged, with_stored_adapters
from ldyn.training.checkpoints import final_directory

BASE = "base"


@dataclass(frozen=True)
class StoredRun:
    """A run directory, finished or not, with its configuration."""

    path: Path
    config: RunConfig

    @property
    def stages(self) -> list[str]:
        """The base, and the stages whose last weights are there, in the order in which they ran."""
        names = self.config.stages
        return [BASE, *(name for name in names if final_directory(self.path / "checkpoints" / name).is_dir())]


@dataclass(frozen=True)
class StoredModel:
    """A model that is not loaded yet. ``run``: the run that it comes from, if any."""

    name: str
    stage: str
    load: Callable[[], Loaded]
    run: StoredRun | None = None


def find_models(names: Sequence[str], options: PretrainedConfig | None = None) -> list[StoredModel]:
    """Each name is RUN (its base and all its stages), RUN:STAGE, a directory of a model or an adapter, or a hub name.

    options: how a directory or a model of the hub is loaded, whatever its own name is.
    Raises RunDirectoryError for a run without the stage, before any weight is loaded; ``load`` raises ModelError.
    """
    found = [model for name in names for model in _models(name, options or PretrainedConfig(""))]
    if len({model.stage for model in found}) == len(found):
        return found
    return [replace(model, stage=model.name) for model in found]  # two runs have stages of one name


def _models(word: str, options: PretrainedConfig) -> Iterator[StoredModel]:
    path, _, stage = word.rpartition(":")
    if _is_run(word):
        run = _stored_run(Path(word))
        yield from (_of_run(run, name, f"{word}:{name}") for name in run.stages)
    elif path and _is_run(path):
        run = _stored_run(Path(path))
        if stage not in run.stages:
            expected = expected_one_of(stage, run.stages)
            raise RunDirectoryError(f"The run {path} has no finished stage {stage!r}; {expected}.")
        yield _of_run(run, stage, word)
    else:
        yield StoredModel(word, word, lambda: _loaded(word, options))


def _is_run(word: str) -> bool:
    path = Path(word)
    return any((directory / "manifest.json").is_file() for directory in (path, path.with_name(f"{path.name}.partial")))


def _stored_run(path: Path) -> StoredRun:
    directory = find_run(path)
    stored = directory / "config.yaml"
    if not stored.is_file():
        raise RunDirectoryError(f"The run {directory} has no config.yaml, its configuration. Copy the directory again.")
    return StoredRun(directory, load_config(yaml.safe_load(stored.read_text(encoding="utf-8"))))


def _of_run(run: StoredRun, stage: str, name: str) -> StoredModel:
    return StoredModel(name, stage, lambda: _base_of(run) if stage == BASE else _stage_of(run, stage), run)


def _stage_of(run: StoredRun, stage: str) -> Loaded:
    return _loaded(str(final_directory(run.path / "checkpoints" / stage)))


def _base_of(run: StoredRun) -> Loaded:
    """From the cache; a tiny base that is no longer there is pretrained again."""
    config = run.config
    corpus = load_data(config.dataset, config.seed).corpus
    seed = base_seed(config.dataset, config.seed)
    base = load_base(config.model, corpus=corpus, seed=seed, cache_dir=config.paths.cache)
    return base.model, base.tokenizer


def _loaded(name_or_path: str, options: PretrainedConfig | None = None) -> Loaded:
    adapter = Path(name_or_path, "adapter_config.json")
    named = name_or_path
    if adapter.is_file():
        named = str(json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path"))
    base = load_pretrained(replace(options or PretrainedConfig(""), name_or_path=named), corpus=(), seed=0)
    model = merged(with_stored_adapters(base.model, Path(name_or_path))) if adapter.is_file() else base.model
    return model, base.tokenizer
