"""From logs of batch means to a run directory, and to what such curves can and cannot show.

``rewards/<side>`` are β (log π − log π_ref) of the step's own pairs, where the loss has a reference (DPO, KTO). Divided
by β they are the change of log π since the reference, paired by example; CPO, SimPO and ORPO log β log π instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from ldyn.errors import ConfigError
from ldyn.records import StageInfo
from ldyn.store.batch_logs import BATCH_MEANS, COLUMNS, BatchLog
from ldyn.store.directory import TRAJECTORIES_FILE, RunDirectory
from ldyn.store.files import write_atomically
from ldyn.store.published_runs import KINDS, UNKNOWN
from ldyn.store.schema import SCHEMA, to_bytes
from ldyn.store.trainer_state import read_trainer_state, state_file_of
from ldyn.store.wandb_csv import read_wandb_csv

PREFERENCE_KIND = ("preference", "pairwise", ("chosen", "rejected"))
"""Of a log that compares pairs: it does not name its loss."""
SIDES = {"chosen": "y⁺", "rejected": "y⁻"}
LATE = 0.1
"""The share of logged rows at either end whose mean a note compares."""
_SAME_RATIO = 0.01


@dataclass(frozen=True)
class BatchStage:
    """A training as a stage. rows: the table BATCH_MEANS of it. notes: what its curves can and cannot show."""

    info: StageInfo
    log: BatchLog
    rows: pd.DataFrame
    notes: tuple[str, ...]


def is_batch_log(path: Path) -> bool:
    """Whether the path is a trainer state, a directory with one, or a CSV file."""
    return path.suffix == ".csv" or state_file_of(path) is not None


def import_batch_logs(
    paths: Sequence[Path],
    kinds: Sequence[str | None],
    *,
    pairs_per_step: int | None = None,
    beta: float | None = None,
    wandb_run: str | None = None,
) -> list[BatchStage]:
    """Read and check all logs; several CSV files are one training. Nothing is written.

    beta: of the loss, to convert rewards into nats. Raises DataError, or ConfigError for an option that does not fit.
    """
    tables = [path for path in paths if path.suffix == ".csv"]
    if tables and len(tables) < len(paths):
        raise ConfigError(["found CSV files and other logs together; import them one by one, each into its own run"])
    states = [state for state in map(state_file_of, paths) if state]
    logs = [read_wandb_csv(tables, wandb_run)] if tables else [read_trainer_state(state) for state in states]
    has_rewards = any("rewards/chosen" in set(log.rows["metric"]) for log in logs)
    faults = {
        "--wandb-run: expected CSV files of wandb": wandb_run is not None and not tables,
        f"--pairs-per-step: found {pairs_per_step}, expected 1 or more": pairs_per_step is not None
        and pairs_per_step < 1,
        f"--beta: found {beta}, expected a number above 0": beta is not None and not 0 < beta < np.inf,
        "--beta: the log has no rewards/chosen to convert": beta is not None and not has_rewards,
    }
    if any(faults.values()):
        raise ConfigError([fault for fault, found in faults.items() if found])
    stages: list[BatchStage] = []
    for kind, log in zip(kinds, logs, strict=False):
        stages.append(_stage(kind, log, pairs_per_step, beta, [stage.info.name for stage in stages]))
    return stages


def _stage(
    kind: str | None, log: BatchLog, pairs_per_step: int | None, beta: float | None, names: Sequence[str]
) -> BatchStage:
    algorithm, loss, view = KINDS[kind] if kind else PREFERENCE_KIND if log.compares_pairs else KINDS["sft"]
    number = 1 + sum(name.rpartition("_")[0] == algorithm or name == algorithm for name in names)
    name = algorithm if number == 1 else f"{algorithm}_{number}"
    info = StageInfo(name, algorithm, loss, view, UNKNOWN if loss == "pairwise" else "base")
    rows = log.rows
    if beta is not None and not _is_without_reference(rows):
        rows = pd.concat([rows, _changes(rows, beta)], ignore_index=True)
    size, about_size = _pairs_per_step(log, pairs_per_step)
    table = rows.assign(stage=name, examples_seen=rows["step"] * size)[list(COLUMNS)]
    notes = [*log.notes, *(f"{log.name}: {note}" for note in (*_what_it_shows(info, rows, beta), about_size))]
    return BatchStage(info, log, table, tuple(notes))


def _pairs_per_step(log: BatchLog, given: int | None) -> tuple[int, str]:
    if given:
        return given, f"examples seen are steps × {given}, as given"
    if log.pairs_per_step:
        of = "train_batch_size: of one process, one accumulation step"
        return log.pairs_per_step, f"examples seen are steps × {log.pairs_per_step} ({of}; else give --pairs-per-step)"
    return 1, "examples seen are steps, as the log has no batch size; give --pairs-per-step"


def _series(rows: pd.DataFrame, metric: str, split: str = "train") -> pd.Series:
    of_metric = rows[(rows["metric"] == metric) & (rows["split"] == split)]
    return pd.Series(of_metric["value"].to_numpy(), of_metric["step"].to_numpy())


def _is_without_reference(rows: pd.DataFrame) -> bool:
    """Whether rewards are one multiple of log π at every step."""
    ratio = _series(rows, "rewards/chosen") / _series(rows, "logps/chosen")
    ratio = ratio[np.isfinite(ratio)]
    return len(ratio) > 1 and bool(ratio.mean() > 0 and np.ptp(ratio) <= _SAME_RATIO * ratio.mean())


def _changes(rows: pd.DataFrame, beta: float) -> pd.DataFrame:
    """``change/<side>``: rewards over β."""
    rewards = rows[rows["metric"].isin([f"rewards/{side}" for side in SIDES])]
    return rewards.assign(metric=rewards["metric"].str.replace("rewards", "change"), value=rewards["value"] / beta)


def _what_it_shows(info: StageInfo, rows: pd.DataFrame, beta: float | None) -> Iterator[str]:
    """One sentence for each thing that the curves show or cannot show."""
    yield (
        "every point is the mean over the batches since the point before: other pairs each time, scored before the "
        "update on them. It shows a trend, and nothing about single examples"
    )
    if "test" in set(rows["split"]):
        yield "evaluation curves are means over one evaluation set, the same pairs at every point, unseen in training"
    yield "no claim of the paper can be judged, each for the reason in the findings; there are no control responses"
    if info.kind == "pairwise":
        yield from _about_logps(rows)
        yield from _about_rewards(rows, beta)
    yield "to judge claims, score fixed examples: ProbeCallback in the script, or `ldyn score` on two checkpoints"


def _about_logps(rows: pd.DataFrame) -> Iterator[str]:
    for side, symbol in SIDES.items():
        curve = _series(rows, f"logps/{side}")
        if len(curve) < 2:
            yield f"log π({symbol}) is not logged, so its level is not known"
        else:
            share = max(1, round(LATE * len(curve)))
            first, last = curve.iloc[:share].mean(), curve.iloc[-share:].mean()
            of = "row" if share == 1 else f"{share} rows"
            yield f"log π({symbol}) as logged: {first:.1f} in the first {of}, {last:.1f} in the last, of other pairs"


def _about_rewards(rows: pd.DataFrame, beta: float | None) -> Iterator[str]:
    if _is_without_reference(rows):
        ratio = (_series(rows, "rewards/chosen") / _series(rows, "logps/chosen")).mean()
        yield f"rewards are {ratio:.3g} × log π at every step: a loss without reference, so they show no change" + (
            "; --beta is ignored" if beta is not None else ""
        )
        return
    for side, symbol in SIDES.items():
        curve = _series(rows, f"rewards/{side}")
        if len(curve):
            last = curve.iloc[-max(1, round(LATE * len(curve))) :].mean()
            than = "less" if last < 0 else "more"
            nats = f", by {abs(last) / beta:.1f} nats on average" if beta else ""
            yield (
                f"rewards/{side} end at {last:+.3g}: the pairs of the last batches have a {than} likely {symbol} than "
                f"under the reference{nats}, if the loss has one (DPO, KTO)"
            )
    if beta is None and len(_series(rows, "rewards/chosen")):
        yield "rewards are β (log π − log π_ref) and β is not logged; give --beta to draw that change in nats"


def import_manifest(stages: Sequence[BatchStage]) -> dict[str, Any]:
    """The manifest's part about the import."""
    files = [(stage.info.name, path) for stage in stages for path in stage.log.files]
    return {
        "stages": [asdict(stage.info) for stage in stages],
        "notes": [note for stage in stages for note in stage.notes],
        "counts": {f"{stage.info.name}.steps_logged": int(stage.rows["step"].nunique()) for stage in stages},
        "hashes": {f"{name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files},
    }


def write_import(stages: Sequence[BatchStage], directory: RunDirectory) -> None:
    """Write ``config.yaml``, ``batch_means.parquet`` and an empty ``trajectories.parquet``: no response was scored."""
    sources = {stage.info.name: [str(path) for path in stage.log.files] for stage in stages}
    content = {
        "dataset": {"source": "training log", "path": ", ".join(stage.log.name for stage in stages)},
        "import": sources,
    }
    directory.write_text("config.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    directory.write_table(BATCH_MEANS, pd.concat([stage.rows for stage in stages], ignore_index=True))
    write_atomically(directory.path / TRAJECTORIES_FILE, to_bytes(SCHEMA.empty_table()))
