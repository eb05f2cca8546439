"""What the jobs of a sweep are called in a tracker: all by the sweep's directory, each by what differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ldyn.store.sweeps import read_sweep, settings_of, swept_keys


def name_after_sweep(composed: DictConfig, overrides: Sequence[str]) -> None:
    """Fill in ``logger.group`` and ``logger.run_name`` of a sweep's job where they are left open.

    ``overrides``: those of this job, as Hydra gives them. What differs is known from the plan of the sweep.
    """
    directory = Path(str(composed.paths.run)).parent
    own, jobs = settings_of(overrides), [settings_of(job.overrides) for job in read_sweep(directory).jobs]
    name = ", ".join(f"{key}={own[key]}" for key in swept_keys(jobs) if key in own)
    for key, value in (("logger.group", directory.name), ("logger.run_name", name or None)):
        if OmegaConf.select(composed, key) is None:
            OmegaConf.update(composed, key, value, force_add=True)
