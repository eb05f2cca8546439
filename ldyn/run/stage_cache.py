"""The stage cache: a stage that another run has trained with the same settings is reused, with its measurements.

``paths.stages`` names the directory of the cache. An entry is a pointer to a run, under the hash of all that decides a
stage's numbers. If that run has gone, or was probed at other steps, the stage is trained as usual.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from transformers import PreTrainedModel

from ldyn.algorithms.registry import source_hash
from ldyn.config.schema import RunConfig
from ldyn.errors import RunDirectoryError
from ldyn.models.base import fingerprint
from ldyn.processes.group import process_count
from ldyn.records import EncodedPair, ProbeScore, ProbeStep
from ldyn.run.manifest import installed_versions
from ldyn.run.session import Session
from ldyn.store import Run, read_run
from ldyn.store.files import write_atomically
from ldyn.tracking import StagePast
from ldyn.training.checkpoints import adopt_final, final_directory, stage_identity
from ldyn.training.stage import StagePlan

if TYPE_CHECKING:
    from ldyn.run.preparation import Prepared

# Raise it when a change of the code would give other numbers for the same stage.
RECIPE_VERSION = 2


@dataclass(frozen=True)
class CachedStage:
    """A stage called ``name`` that ``run`` has trained and measured."""

    run: Run
    name: str

    @property
    def final(self) -> Path:
        """The directory of its last weights."""
        return final_directory(self.run.path / "checkpoints" / self.name)

    @property
    def table(self) -> pd.DataFrame:
        """Its rows of the trajectory table."""
        return self.run.trajectories[self.run.trajectories["stage"] == self.name]

    def past(self, plan: StagePlan, steps: Collection[int]) -> StagePast:
        """Its training log, and its scores at ``steps``, under the stage name of ``plan``."""
        log = self.run.train_log[self.run.train_log["stage"] == self.name].drop(columns="stage")
        rows = [{str(name): value for name, value in row.dropna().items()} for _, row in log.iterrows()]
        scored = self.table[self.table["step"].isin(steps)].groupby("step")
        return StagePast(rows, [_scores_at_step(group, plan) for _, group in scored])


@dataclass(frozen=True)
class StageCache:
    """The cache in ``directory``."""

    directory: Path

    def find(self, key: str, steps: Collection[int]) -> CachedStage | None:
        """A trained stage of this key, measured at all of ``steps``; None where there is none."""
        try:
            entry = json.loads(self._file(key).read_text(encoding="utf-8"))
            found = CachedStage(read_run(self.directory / entry["run"]), entry["stage"])
        except (OSError, ValueError, KeyError, RunDirectoryError):
            return None
        return found if found.final.exists() and set(steps) <= set(found.table["step"]) else None

    def reuse(self, key: str, plan: StagePlan, steps: Collection[int], session: Session) -> bool:
        """Copy weights, scores and log of a cached stage into the run; returns whether there was one."""
        cached = self.find(key, steps)
        if cached is None:
            return False
        name = plan.info.name
        cached.past(plan, steps).replay(session.record_scores, partial(session.record_log, name))
        session.commit_log(name)
        session.manifest.update(shared_stages={name: {"run": cached.run.path, "stage": cached.name}})
        adopt_final(cached.final, session.stage_directory(name))
        return True

    def store(self, key: str, run: Path, stage: str, steps: Collection[int]) -> None:
        """Enter ``stage`` of ``run`` (its final path, which it need not have yet) unless an entry has all ``steps``."""
        if not self.find(key, steps):
            entry = {"run": os.path.relpath(run, self.directory), "stage": stage}
            write_atomically(self._file(key), json.dumps(entry, indent=1).encode())

    def _file(self, key: str) -> Path:
        return self.directory / f"{key}.json"


def stage_cache(config: RunConfig) -> StageCache | None:
    """None where no directory is set, and for a run with token records, which are not cached."""
    return None if config.paths.stages is None or config.probes.per_token else StageCache(config.paths.stages)


def stage_key(
    plan: StagePlan, model: PreTrainedModel, pairs: Sequence[EncodedPair], prepared: Prepared, config: RunConfig
) -> str:
    """The hash of all that decides the numbers of a stage which starts from ``model``, except its probe steps."""
    content: dict[str, Any] = {
        "recipe": RECIPE_VERSION,
        "stage": dict(stage_identity(plan, model, pairs, config.seed)),
        "start": fingerprint(model, prepared.base.tokenizer),
        "loss": source_hash(plan.algorithm.loss),
        "attention": model.config._attn_implementation,
        "probes": [asdict(probe) for probe in prepared.encoded],
        "token_budget": config.probes.token_budget,
        "versions": installed_versions(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "parallel": [torch.get_num_threads(), process_count()],  # they decide the rounding
    }
    content["stage"]["trainer"] = {k: v for k, v in content["stage"]["trainer"].items() if k != "snapshots"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _scores_at_step(rows: pd.DataFrame, plan: StagePlan) -> tuple[ProbeStep, list[ProbeScore]]:
    first = rows.iloc[0]
    step, seen, epoch = int(first["step"]), int(first["examples_seen"]), float(first["epoch"])
    columns = [field.name for field in fields(ProbeScore)]
    scores = [ProbeScore(*row) for row in rows[columns].itertuples(index=False, name=None)]
    return ProbeStep(plan.info.name, plan.info.algorithm, step, seen, epoch), scores
