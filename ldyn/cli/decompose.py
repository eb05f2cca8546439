"""`ldyn decompose`: compare what the theory predicts for updates of a run with what they did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ldyn.cli.settings_command import Page, study_command

if TYPE_CHECKING:
    from ldyn.store import Run


def main(arguments: Sequence[str]) -> int:
    """Decompose, and print the findings."""
    return study_command(Page("decompose", "decompose"), arguments, _study, more="decompose/default")


def _study(composed: DictConfig) -> Run:
    from hydra.core.hydra_config import HydraConfig

    from ldyn.config.studies import decompose_config

    config = decompose_config(composed, list(HydraConfig.get().overrides.task))

    from ldyn.run.decomposition import decompose_study

    return decompose_study(config)
