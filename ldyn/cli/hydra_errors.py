"""Hydra's errors in ldyn's words: what was found, what exists, what to type instead."""

from __future__ import annotations

from collections.abc import Mapping

from hydra.errors import MissingConfigException
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from ldyn.errors import expected_one_of


def in_words(error: Exception) -> str:
    """One fault for an error that Hydra or OmegaConf raised while it composed the configuration."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        return f"{group}: found no option {option!r}; {expected_one_of(option, error.options)}"
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, ConfigKeyError | AttributeError) and isinstance(cause, OmegaConfBaseException):
        return _unknown_key(cause)
    said = [str(error), *([str(cause)] if cause and cause is not error else [])]
    return " ".join(line.strip() for text in said for line in text.splitlines() if line.strip())


def _unknown_key(error: OmegaConfBaseException) -> str:
    siblings = [str(key) for key in error.parent_node] if isinstance(error.parent_node, Mapping) else []
    fault = f"{error.full_key}: unknown key; {expected_one_of(str(error.key), siblings)}"
    if str(error.full_key).startswith("stages."):
        fault += f"; a setting that the stage does not mention yet is added with a plus: +{error.full_key}=..."
    return fault
