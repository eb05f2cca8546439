"""What the jobs of a sweep are called in a tracker: all by the sweep's folder, each by what differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

SWEEP_FILE = "multirun.yaml"
"""Written by Hydra's sweeper before the first job: the configuration with the overrides as they were typed."""


def name_after_sweep(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Fill in ``logger.group`` and ``logger.run_name`` of a job placed in its sweep folder, where they are left open.

    ``overrides``: those of this job, as Hydra gives them.
    """
    folder = Path(str(composed.paths.run)).parent
    typed = OmegaConf.select(OmegaConf.load(folder / SWEEP_FILE), "hydra.overrides.task") or []
    differing = [override.lstrip("+") for override in overrides if override not in typed]
    for key, value in (("logger.group", folder.name), ("logger.run_name", ", ".join(differing) or None)):
        if OmegaConf.select(composed, key) is None:
            OmegaConf.update(composed, key, value, force_add=True)
