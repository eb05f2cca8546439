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
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
from ldyn.training.checkpoints import adopt_final, final_directory
from ldyn.training.plan import StagePlan

if TYPE_CHECKING:
    from ldyn.run.preparation import Prepared

# Raise it when a change of the code would give other numbers for the same stage.
RECIPE_VERSION = 4


class StageCache:
    """The cache in ``directory``."""

    def __init__(self, directory: Path):
        self._directory = directory

    def reuse(self, key: str, plan: StagePlan, steps: Collection[int], session: Session) -> bool:
        """Copy weights, scores and log of a cached stage into the run; returns whether there was one."""
        found = self._find(key, steps)
        if found is None:
            return False
        (run, cached), name = found, plan.info.name
        log = run.train_log[run.train_log["stage"] == cached].drop(columns="stage")
        rows = [{str(metric): value for metric, value in row.dropna().items()} for _, row in log.iterrows()]
        scored = run.trajectories[(run.trajectories["stage"] == cached) & run.trajectories["step"].isin(steps)]
        past = StagePast(rows, [_scores_at_step(group, plan) for _, group in scored.groupby("step")])
        past.replay(session.record_scores, partial(session.record_log, name))
        session.commit_log(name)
        session.manifest.update(shared_stages={name: {"run": run.path, "stage": cached}})
        adopt_final(_final_of(run, cached), session.stage_directory(name))
        return True

    def store(self, key: str, run: Path, stage: str, steps: Collection[int]) -> None:
        """Enter ``stage`` of ``run`` (its final path, which it need not have yet) unless an entry has all ``steps``."""
        if not self._find(key, steps):
            entry = {"run": os.path.relpath(run, self._directory), "stage": stage}
            write_atomically(self._file(key), json.dumps(entry, indent=1).encode())

    def _find(self, key: str, steps: Collection[int]) -> tuple[Run, str] | None:
        try:
            entry = json.loads(self._file(key).read_text(encoding="utf-8"))
            run, stage = read_run(self._directory / entry["run"]), entry["stage"]
        except (OSError, ValueError, KeyError, RunDirectoryError):
            return None
        measured = set(run.trajectories.loc[run.trajectories["stage"] == stage, "step"])
        return (run, stage) if _final_of(run, stage).exists() and set(steps) <= measured else None

    def _file(self, key: str) -> Path:
        return self._directory / f"{key}.json"


def _final_of(run: Run, stage: str) -> Path:
    return final_directory(run.path / "checkpoints" / stage)


def stage_cache(config: RunConfig) -> StageCache | None:
    """None where no directory is set."""
    return None if config.paths.stages is None else StageCache(config.paths.stages)


def stage_key(
    plan: StagePlan, model: PreTrainedModel, pairs: Sequence[EncodedPair], prepared: Prepared, config: RunConfig
) -> str:
    """The hash of all that decides the numbers of a stage which starts from ``model``, except its probe steps."""
    trainer = {name: value for name, value in asdict(plan.trainer).items() if name != "snapshots"}
    content = {
        "recipe": RECIPE_VERSION,
        "algorithm": {"name": plan.algorithm.name, **plan.parameters},
        "loss": source_hash(plan.algorithm.loss),
        "view": plan.info.view,
        "trainer": trainer,
        "seed": config.seed,
        "pairs": [asdict(pair) for pair in pairs],
        "start": fingerprint(model, prepared.base.tokenizer),
        "attention": model.config._attn_implementation,
        "probes": [asdict(probe) for probe in prepared.encoded],
        "token_budget": config.probes.token_budget,
        "versions": installed_versions(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "parallel": [torch.get_num_threads(), process_count()],  # they decide the rounding
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _scores_at_step(rows: pd.DataFrame, plan: StagePlan) -> tuple[ProbeStep, list[ProbeScore]]:
    first = rows.iloc[0]
    step, seen, epoch = int(first["step"]), int(first["examples_seen"]), float(first["epoch"])
    columns = [field.name for field in fields(ProbeScore)]
    scores = [ProbeScore(*row) for row in rows[columns].itertuples(index=False, name=None)]
    return ProbeStep(plan.info.name, plan.info.algorithm, step, seen, epoch), scores
