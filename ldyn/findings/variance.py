"""Where the variance between runs comes from: between worlds, or within a world (other pairs in another order).

One-way random effects: run j in world i has y_ij = μ + a_i + e_ij. With k worlds of n_i runs, N in all,

    σ²_within = MSW,   σ²_between = (MSB − MSW) / n₀,   n₀ = (N − Σ n_i² / N) / (k − 1),

below 0 counted as 0. The interval of the share σ²_between / (σ²_between + σ²_within) follows from MSB / MSW by F; it is
exact where all n_i are equal (S. Searle, G. Casella and C. McCulloch, Variance Components, 1992, ch. 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri

from ldyn.findings import CLAIMS
from ldyn.findings.evidence import Evidence
from ldyn.findings.seed_runs import settings_but_seed
from ldyn.store import Run

OF_CLAIMS = ("S1", "S4", "D1", "D3")
SETTING = "dataset.world_seed"


@dataclass(frozen=True)
class Components:
    """Of one quantity (nats): standard deviations, and the share of the variance that lies between worlds.

    claims: those that have it as a primary part. share_low, share_high: 95 % interval.
    """

    quantity: str
    claims: tuple[str, ...]
    worlds: int
    runs: int
    mean: float
    between: float
    within: float
    share_low: float
    share_high: float

    @property
    def share(self) -> float:
        """NaN where all runs are equal."""
        total = self.between**2 + self.within**2
        return self.between**2 / total if total else np.nan


def components(worlds: Sequence[NDArray[np.float64]]) -> tuple[float, float, tuple[float, float]]:
    """σ_between, σ_within and the interval of the share, from the values of each world.

    Needs two worlds or more, and one with two runs or more.
    """
    sizes, values = np.array([len(own) for own in worlds]), np.concatenate(worlds)
    n, k = len(values), len(worlds)
    within = sum(float(((own - own.mean()) ** 2).sum()) for own in worlds) / (n - k)
    between = sum(len(own) * (own.mean() - values.mean()) ** 2 for own in worlds) / (k - 1)
    n0 = (n - (sizes**2).sum() / n) / (k - 1)
    variance = max(0.0, float(between - within) / n0)
    if within == 0:
        return variance**0.5, 0.0, (np.nan, np.nan)
    ratios = [(between / within / quantile - 1) / n0 for quantile in fdtri(k - 1, n - k, [0.975, 0.025])]
    low, high = (float(max(0.0, ratio) / (1 + max(0.0, ratio))) for ratio in ratios)
    return variance**0.5, within**0.5, (low, high)


def variance_components(runs: Sequence[Run]) -> list[Components]:
    """Of each primary quantity of OF_CLAIMS; nothing where ``runs`` are of one world, or all of
    different ones.
    """
    found: dict[str, tuple[list[str], list[NDArray[np.float64]]]] = {}
    evidence = {world: [_evidence(run) for run in own] for world, own in _by_world(runs).items()}
    for claim in map(CLAIMS.__getitem__, OF_CLAIMS):
        for part in (part for part in claim.parts if part.primary):
            measured = [[part.found_in(one) for one in own] for own in evidence.values()]
            if not measured or not all(one for own in measured for one in own):
                continue
            values = [
                np.array([float(part.over_seeds([one[part.quantity][1]]).iloc[0]) for one in own]) for own in measured
            ]
            key = f"{claim.family}: {part.quantity}"
            found.setdefault(key, ([], values))[0].append(claim.id)
    return [_of_quantity(quantity, claims, worlds) for quantity, (claims, worlds) in found.items()]


def _of_quantity(quantity: str, claims: Sequence[str], worlds: Sequence[NDArray[np.float64]]) -> Components:
    between, within, (low, high) = components(worlds)
    values = np.concatenate(worlds)
    mean = float(values.mean())
    return Components(quantity, tuple(claims), len(worlds), len(values), mean, between, within, low, high)


def _by_world(runs: Sequence[Run]) -> Mapping[int, list[Run]]:
    """World's seed -> its runs, of the first runs that are equal but for their seeds and can tell both variances.

    Runs of one seed in one world are the same run and count once.
    """
    experiments: dict[str, dict[int, dict[int, Run]]] = {}
    for run in runs:
        settings = {key: value for key, value in settings_but_seed(run).items() if key != "name"}
        if settings.get("dataset.source") == "microworld":
            own, seed = int(run.manifest["seed"]), settings.pop(SETTING, None)
            worlds = experiments.setdefault(repr(sorted(settings.items())), {})
            worlds.setdefault(own if seed is None else int(seed), {}).setdefault(own, run)
    nested = (worlds for worlds in experiments.values() if 1 < len(worlds) < sum(map(len, worlds.values())))
    return {world: list(own.values()) for world, own in next(nested, {}).items()}


def _evidence(run: Run) -> Evidence:
    return Evidence(run.trajectories, run.stages, run.planned_steps, run.tables)
