"""Synthetic runs whose means are exact: a claim's estimate can be read off the courses given to ``build``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ldyn.findings import find_all, findings_over_seeds
from ldyn.records import TRAJECTORY_COLUMNS, Finding, FindingOverSeeds, StageInfo
from ldyn.store import Run

SFT = StageInfo("sft", "sft_sum", "pointwise", ("chosen",), "base")
DPO = StageInfo("dpo", "dpo", "pairwise", ("chosen", "rejected"), "sft")
EXTEND = StageInfo("both", "sft_sum", "pointwise", ("chosen", "rejected"), "base")
DPO_EXTEND = StageInfo("dpo_both", "dpo", "pairwise", ("chosen", "rejected"), "both")

Course = Sequence[float]


@dataclass
class SyntheticRun:
    """Rows of a trajectory table, built probe by probe."""

    stages: tuple[StageInfo, ...] = (SFT, DPO)
    examples: int = 40
    spread: float = 0.5
    steps_apart: int = 10
    batch: int = 8
    frames: list[pd.DataFrame] = field(default_factory=list)

    def add(
        self,
        stage: StageInfo,
        probe: str,
        course: Course,
        *,
        split: str = "train",
        examples: int | None = None,
        tokens: int = 10,
        spread: float | None = None,
        **columns: Course,
    ) -> SyntheticRun:
        """Examples scatter about ``course`` (mean of logp at each step) so that each step's mean is exactly it."""
        n = self.examples if examples is None else examples
        scatter = self.spread if spread is None else spread
        steps = np.arange(len(course)) * self.steps_apart
        deviations = scatter * self._deviations(n, len(course), stage.name + probe)
        rows: dict[str, object] = {
            "stage": stage.name, "algorithm": stage.algorithm, "step": np.tile(steps, n), "epoch": 0.0, "split": split,
            "examples_seen": self.batch * np.tile(steps, n), "probe": probe, "n_tokens": tokens,
            "example_id": np.repeat([f"q{i}" for i in range(n)], len(steps)), "logp": (course + deviations).ravel(),
        }  # fmt: skip
        for name in ("logp_argmax", "log_mass_rest"):
            rows[name] = (columns.get(name, np.zeros(len(course))) + deviations[:, ::-1]).ravel()
        rows |= {name: 0.5 for name in TRAJECTORY_COLUMNS if name not in rows}
        self.frames.append(pd.DataFrame(rows)[list(TRAJECTORY_COLUMNS)])
        return self

    @staticmethod
    def _deviations(examples: int, steps: int, key: str) -> np.ndarray:
        """Examples × steps, standard normal but centred, so that the mean over examples is zero at each step."""
        raw = np.random.default_rng([ord(letter) for letter in key]).normal(size=(examples, steps))
        return raw - raw.mean(axis=0)

    @property
    def table(self) -> pd.DataFrame:
        return pd.concat(self.frames, ignore_index=True)

    def findings(self, planned_steps: Mapping[str, int] | None = None) -> dict[str, Finding]:
        return {finding.id: finding for finding in find_all(self.table, self.stages, planned_steps)}


@pytest.fixture
def build() -> type[SyntheticRun]:
    return SyntheticRun


@pytest.fixture
def four_stages() -> tuple[StageInfo, StageInfo, StageInfo, StageInfo]:
    """SFT and DPO, then extended SFT and its DPO."""
    return SFT, DPO, EXTEND, DPO_EXTEND


Judge = Callable[..., dict[str, FindingOverSeeds]]


@pytest.fixture
def over_seeds() -> Judge:
    """Judges synthetic runs (or tables of one decomposition each) as the runs of seeds 0, 1 …; id -> finding."""

    def judge(*runs: SyntheticRun, tables: Sequence[Mapping[str, pd.DataFrame]] = ()) -> dict[str, FindingOverSeeds]:
        made = [a_run(seed, one.table, one.stages) for seed, one in enumerate(runs)]
        made += [
            a_run(seed, pd.DataFrame(columns=list(TRAJECTORY_COLUMNS)), (), own) for seed, own in enumerate(tables)
        ]
        return {finding.id: finding for finding in findings_over_seeds({"exp": made})}

    return judge


@pytest.fixture
def run_of() -> Callable[..., Run]:
    """A finished run of one seed, see ``a_run``."""
    return a_run


def a_run(
    seed: int,
    table: pd.DataFrame,
    stages: Sequence[StageInfo],
    tables: Mapping[str, pd.DataFrame] | None = None,
    planned: Mapping[str, int] | None = None,
    **settings: object,
) -> Run:
    manifest = {"name": "exp", "seed": seed, "stages": [{"name": n, "steps": s} for n, s in (planned or {}).items()]}
    config = json.dumps({"name": "exp", "seed": seed, "run": str(seed), **settings})
    nothing = pd.DataFrame()
    return Run(Path(f"run{seed}"), manifest, config, tuple(stages), table, nothing, dict(tables or {}), [], [])
