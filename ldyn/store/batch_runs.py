"""From logs of batch means to a run directory, and to what such curves can and cannot show.

``rewards/<side>`` are β (log π − log π_ref) of the step's own pairs, where the loss has a reference (DPO, KTO). Divided
by β they are the change of log π since the reference, paired by example; CPO, SimPO and ORPO log β log π instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ldyn.errors import ConfigError
from ldyn.records import StageInfo
from ldyn.store.batch_logs import (
    BATCH_MEANS,
    COLUMNS,
    BatchLog,
    read_trainer_state,
    read_wandb_csv,
    state_file_of,
)
from ldyn.store.directory import RunDirectory
from ldyn.store.imported import ImportedStage, write_source
from ldyn.store.published_runs import KINDS, UNKNOWN
from ldyn.store.schema import SCHEMA

PREFERENCE_KIND = ("preference", "pairwise", ("chosen", "rejected"))
"""Of a log that compares pairs: it does not name its loss."""
SIDES = {"chosen": "y⁺", "rejected": "y⁻"}
LATE = 0.1
"""The share of logged rows at either end whose mean a note compares."""
_SAME_RATIO = 0.01


@dataclass(frozen=True)
class BatchStage(ImportedStage):
    """A training as a stage. rows: the table BATCH_MEANS of it; name: of the log."""

    name: str
    rows: pd.DataFrame


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
    faults = {
        "found CSV files and other logs together; import them one by one": bool(tables) and len(tables) < len(paths),
        "--wandb-run: expected CSV files of wandb": wandb_run is not None and not tables,
        f"--pairs-per-step: found {pairs_per_step}, expected 1 or more": pairs_per_step is not None
        and pairs_per_step < 1,
        f"--beta: found {beta}, expected a number above 0": beta is not None and not 0 < beta < np.inf,
    }
    if any(faults.values()):
        raise ConfigError([fault for fault, found in faults.items() if found])
    states = [state for state in map(state_file_of, paths) if state]
    logs = [read_wandb_csv(tables, wandb_run)] if tables else [read_trainer_state(state) for state in states]
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
    rewards = rows[rows["metric"].isin([f"rewards/{side}" for side in SIDES])]
    if beta is not None and not _without_reference(rows):
        names_of_changes = rewards["metric"].str.replace("rewards", "change")
        rows = pd.concat([rows, rewards.assign(metric=names_of_changes, value=rewards["value"] / beta)])
    size = pairs_per_step or log.pairs_per_step or 1
    about = f"examples seen are {size} × steps" + ("" if pairs_per_step else "; if not, give --pairs-per-step")
    notes = [*log.notes, *(f"{log.name}: {note}" for note in (*_what_it_shows(info, rows, beta), about))]
    table = rows.assign(stage=name, examples_seen=rows["step"] * size)[list(COLUMNS)].reset_index(drop=True)
    counts = {"steps_logged": int(table["step"].nunique())}
    return BatchStage(info, log.files, notes, counts, log.name, table)


def _series(rows: pd.DataFrame, metric: str) -> pd.Series:
    of_metric = rows[(rows["metric"] == metric) & (rows["split"] == "train")]
    return pd.Series(of_metric["value"].to_numpy(), of_metric["step"].to_numpy())


def _without_reference(rows: pd.DataFrame) -> float:
    """The ratio of rewards to log π where it is one at every step, else 0."""
    ratio = _series(rows, "rewards/chosen") / _series(rows, "logps/chosen")
    ratio = ratio[np.isfinite(ratio)]
    is_one = len(ratio) > 1 and ratio.mean() > 0 and np.ptp(ratio) <= _SAME_RATIO * ratio.mean()
    return float(ratio.mean()) if is_one else 0.0


def _what_it_shows(info: StageInfo, rows: pd.DataFrame, beta: float | None) -> Iterator[str]:
    yield (
        "every point is the mean over the batches since the point before: other pairs each time, scored before the "
        "update on them. It shows a trend, and nothing about single examples, so no claim can be judged by it. To "
        "judge claims, score fixed examples: ProbeCallback in the script, or `ldyn score` on two checkpoints"
    )
    if "test" in set(rows["split"]):
        yield "evaluation curves are means over one evaluation set, the same pairs at every point, unseen in training"
    for side, symbol in SIDES.items() if info.kind == "pairwise" else ():
        curve = _series(rows, f"logps/{side}")
        share = max(1, round(LATE * len(curve)))
        yield (
            f"log π({symbol}) is not logged, so its level is not known"
            if curve.empty
            else (
                f"log π({symbol}) as logged: {curve.iloc[:share].mean():.1f} in the first {LATE:.0%} of the rows, "
                f"{curve.iloc[-share:].mean():.1f} in the last, of other pairs"
            )
        )
    if info.kind == "pairwise":
        yield from _about_rewards(rows, beta)


def _about_rewards(rows: pd.DataFrame, beta: float | None) -> Iterator[str]:
    if ratio := _without_reference(rows):
        yield f"rewards are {ratio:.3g} × log π at every step: a loss without reference, so they show no change"
        return
    curves = {side: curve for side in SIDES if len(curve := _series(rows, f"rewards/{side}"))}
    for side, curve in curves.items():
        last = curve.iloc[-max(1, round(LATE * len(curve))) :].mean()
        nats = f", by {abs(last) / beta:.1f} nats on average" if beta else ""
        yield (
            f"rewards/{side} end at {last:+.3g}: the pairs of the last batches have a {'less' if last < 0 else 'more'} "
            f"likely {SIDES[side]} than under the reference{nats}, if the loss has one (DPO, KTO)"
        )
    if curves and beta is None:
        yield "rewards are β (log π − log π_ref) and β is not logged; give --beta to draw that change in nats"


def write_import(stages: Sequence[BatchStage], directory: RunDirectory) -> None:
    """Write ``config.yaml``, ``batch_means.parquet`` and an empty ``trajectories.parquet``: no response was scored."""
    sources = {stage.info.name: [str(path) for path in stage.files] for stage in stages}
    names = [stage.name for stage in stages]
    write_source(directory, "training log", names, sources, SCHEMA.empty_table())
    directory.write_table(BATCH_MEANS, pd.concat([stage.rows for stage in stages], ignore_index=True))
