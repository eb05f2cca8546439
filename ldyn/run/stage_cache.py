"""Stages that runs share: one trains it, the others take over its weights and what was measured of it.

Where ``paths.stages`` names a directory, every stage that a run finishes is noted there under the hash of all that
decides its numbers; a run that comes to a stage of the same hash takes it over instead of training it again. The note
is a pointer to the run, not a copy; if that run has gone, or was probed at other steps, the stage is trained as usual.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ldyn.config.schema import RunConfig
from ldyn.errors import RunDirectoryError
from ldyn.models.base import fingerprint
from ldyn.processes.group import process_count
from ldyn.records import EncodedPair, EncodedProbeExample, ProbeScore, ProbeStep
from ldyn.run.manifest import installed_versions
from ldyn.run.session import Session
from ldyn.store import Run, read_run
from ldyn.store.files import write_atomically
from ldyn.tracking import StagePast
from ldyn.training.checkpoints import adopt_final, final_directory, stage_identity
from ldyn.training.stage import StagePlan

# Raise it when a change of the code would give other numbers for the same stage.
RECIPE_VERSION = 1


@dataclass(frozen=True)
class SharedStage:
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

    def log_rows(self) -> Iterator[dict[str, float]]:
        """Its rows of the training log, each with its step."""
        rows = self.run.train_log[self.run.train_log["stage"] == self.name].drop(columns="stage")
        yield from ({str(name): value for name, value in row.dropna().items()} for _, row in rows.iterrows())


class StageExchange:
    """Where the runs of one ``directory`` find each other's stages."""

    def __init__(self, directory: Path):
        self._directory = directory

    def find(self, key: str, steps: Collection[int]) -> SharedStage | None:
        """A trained stage of this key, measured at all of ``steps``; None where there is none."""
        try:
            entry = json.loads(self._file(key).read_text(encoding="utf-8"))
            found = SharedStage(read_run(self._directory / entry["run"]), entry["stage"])
        except (OSError, ValueError, KeyError, RunDirectoryError):
            return None
        return found if found.final.exists() and set(steps) <= set(found.table["step"]) else None

    def offer(self, key: str, run: Path, stage: str, steps: Collection[int]) -> None:
        """Note that ``run`` (its final path, which it need not have yet) has trained ``stage``, probed at ``steps``.

        One that was probed at all of these steps before keeps its place.
        """
        if self.find(key, steps):
            return
        entry = {"run": os.path.relpath(run, self._directory), "stage": stage}
        write_atomically(self._file(key), json.dumps(entry, indent=1).encode(), writer=f".{os.getpid()}")

    def _file(self, key: str) -> Path:
        return self._directory / f"{key}.json"


def exchange_of(config: RunConfig) -> StageExchange | None:
    """None where the run shares nothing; token records are not shared, so a run that wants them trains by itself."""
    return None if config.paths.stages is None or config.probes.per_token else StageExchange(config.paths.stages)


def stage_key(
    plan: StagePlan,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[EncodedPair],
    probes: Sequence[EncodedProbeExample],
    config: RunConfig,
) -> str:
    """Names all that decides the numbers of a stage which starts from ``model``, but for the steps of its probing."""
    content: dict[str, Any] = {
        "recipe": RECIPE_VERSION,
        "stage": dict(stage_identity(plan, model, pairs, config.seed)),
        "start": fingerprint(model, tokenizer),
        "probes": [asdict(probe) for probe in probes],
        "versions": installed_versions(),
        "where": _where(),
    }
    content["stage"]["trainer"] = {k: v for k, v in content["stage"]["trainer"].items() if k != "snapshots"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _where() -> list[Any]:
    """What rounds: the device, and on a CPU the number of threads."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return [device, torch.get_num_threads(), process_count()]


def take_over(shared: SharedStage, plan: StagePlan, steps: Collection[int], session: Session) -> None:
    """Tell the session all that was measured of the shared stage at ``steps``, then adopt its weights."""
    table = shared.table
    probe_steps = table[table["step"].isin(steps)].groupby("step")
    past = StagePast(list(shared.log_rows()), [(_probe_step(rows, plan), _scores(rows)) for _, rows in probe_steps])
    past.tell(session.record_scores, partial(session.record_log, plan.info.name))
    session.commit_log(plan.info.name)
    session.describe(shared_stages={plan.info.name: {"run": shared.run.path, "stage": shared.name}})
    adopt_final(shared.final, session.stage_directory(plan.info.name))


def _probe_step(rows: pd.DataFrame, plan: StagePlan) -> ProbeStep:
    first = rows.iloc[0]
    seen, epoch = int(first["examples_seen"]), float(first["epoch"])
    return ProbeStep(plan.info.name, plan.info.algorithm, int(first["step"]), seen, epoch)


def _scores(rows: pd.DataFrame) -> list[ProbeScore]:
    columns = [field.name for field in fields(ProbeScore)]
    return [ProbeScore(*row) for row in rows[columns].itertuples(index=False, name=None)]
