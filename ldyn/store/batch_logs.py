"""A trainer's own log (TRL's metrics) as one table: ``trainer_state.json``, or CSV files exported from wandb.

A value is the mean over the pairs of the batches since the row before, scored before the update on them: other pairs at
every step. ``eval_`` metrics are means over the evaluation set, the same pairs each time. CSV files are charts (one
metric a file, columns ``Step`` and ``<run> - train/rewards/chosen``) or a run's history (one column a metric).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ldyn.errors import DataError, expected_one_of

BATCH_MEANS = "batch_means"
"""The table of a run of batch means: COLUMNS, with the stage and the number of examples seen."""
COLUMNS = ("stage", "split", "step", "examples_seen", "epoch", "metric", "value")
PREFERENCE = (
    "logps/chosen", "logps/rejected", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies",
)  # fmt: skip
METRICS = (
    *PREFERENCE, "loss", "entropy", "mean_token_accuracy", "nll_loss", "kl", "logits/chosen", "logits/rejected",
    "grad_norm", "learning_rate",
)  # fmt: skip
STATE_FILE = "trainer_state.json"
_OF_OTHER_TRAINERS = {"reward", "mean_reward", "completion_length", "completions/mean_length", "objective/kl"}
_BOOKKEEPING = re.compile(
    r"_?(eval_|train_|total_)?(\w*step|epoch|num_tokens|runtime|timestamp|\w+_per_second|loss|flos)|_runtime|run_\w+|run|Name"
)
_STEPS = ("train/global_step", "global_step", "Step", "_step", "step")
_EPOCHS = ("train/epoch", "epoch")
_RUNS = ("run_name", "run_id", "run", "Name")


@dataclass(frozen=True)
class BatchLog:
    """One training. rows: split, metric, step, epoch, value, in this order; each step once and every value finite.

    pairs_per_step: of one process, where the log has it. notes: what was repaired or ignored.
    """

    name: str
    files: tuple[Path, ...]
    rows: pd.DataFrame
    pairs_per_step: int | None
    notes: tuple[str, ...]

    @property
    def compares_pairs(self) -> bool:
        """Whether it is the log of a preference training, else of SFT."""
        return bool(set(self.rows["metric"]) & set(PREFERENCE))


def split_and_metric(name: str) -> tuple[str, str] | None:
    """``eval_rewards/chosen`` or ``eval/rewards/chosen`` -> ("test", "rewards/chosen"); None for an unknown metric."""
    for prefix, split in (("train/", "train"), ("eval/", "test"), ("eval_", "test"), ("", "train")):
        if name.startswith(prefix) and name.removeprefix(prefix) in METRICS:
            return split, name.removeprefix(prefix)
    return None


def state_file_of(path: Path) -> Path | None:
    """The state that ``path`` means: a JSON file, a checkpoint, or the output directory with the last checkpoint."""
    if path.suffix == ".json":
        return path
    if (path / STATE_FILE).is_file():
        return path / STATE_FILE
    states = [state for state in path.glob(f"checkpoint-*/{STATE_FILE}") if state.parent.name[11:].isdigit()]
    return max(states, key=lambda state: int(state.parent.name[11:]), default=None)


def read_trainer_state(path: Path) -> BatchLog:
    """Read and check one state. Raises DataError naming what was found instead."""
    expected = f"expected {STATE_FILE} as transformers' Trainer writes it, with rows that have a step in log_history"
    try:
        state: Any = json.loads(path.read_bytes())
        table = pd.DataFrame.from_records(state["log_history"])
        steps = table["step"].astype(int)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is no trainer state ({type(error).__name__}: {error}); {expected}.") from error
    rows = _long(path, table, steps, table.get("epoch"))
    directory = path.resolve().parent
    name = (directory.parent if directory.name.startswith("checkpoint-") else directory).name
    size = state.get("train_batch_size")
    # A logged NaN, which a table cannot tell from a metric that a row lacks.
    n_lost = sum(value != value for row in state["log_history"] for key, value in row.items() if split_and_metric(key))
    size = size if isinstance(size, int) and size > 0 else None
    return _checked([path], name, rows, table.columns, pairs_per_step=size, n_lost=n_lost)


def read_wandb_csv(paths: Sequence[Path], run: str | None = None) -> BatchLog:
    """Read and check the files of one run. run: its name, needed where the files hold several.

    Raises DataError naming the file and the column, or the runs found.
    """
    tables = [_read_csv(path) for path in paths]
    rows = pd.concat([_of_csv(path, table) for path, table in zip(paths, tables, strict=True)], ignore_index=True)
    runs = list(dict.fromkeys(rows["run"]))
    if run is None and len(runs) > 1:
        raise DataError(f"{paths[0]} holds {len(runs)} runs: {', '.join(runs)}. Choose one with --wandb-run NAME.")
    if run is not None and run not in runs:
        raise DataError(f"--wandb-run: {paths[0]} has no run {run!r}; {expected_one_of(run, runs)}.")
    chosen = run if run is not None else "".join(runs)
    names = [name.rpartition(" - ")[2] for table in tables for name in map(str, table)]
    return _checked(paths, chosen or paths[0].stem, rows[rows["run"] == chosen].drop(columns="run"), names)


def _read_csv(path: Path) -> pd.DataFrame:
    """Texts, NaN for empty cells. Read by Python's strict reader: pandas lets a broken quotation mark swallow rows."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file, strict=True) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV ({error}). Export it from wandb again.") from error
    header, lines = lines[0] if lines else [], lines[1:]
    if not lines or {len(line) for line in lines} != {len(header)}:
        expected = f"expected some, each with {len(header)} cells as in the header"
        raise DataError(f"{path}: found {len(lines)} rows, {expected}. Export it from wandb again.")
    return pd.DataFrame(lines, columns=header).replace(r"(?i)^\s*(nan|null|none)?\s*$", np.nan, regex=True)


def _of_csv(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    metrics = [name for name in map(str, table) if split_and_metric(name.rpartition(" - ")[2])]
    logged = table.dropna(subset=metrics, how="all")
    step = next((name for name in _STEPS if name in logged and logged[name].notna().all()), None)
    if step is None:
        found = ", ".join(map(str, table))
        raise DataError(f"{path} has no step in each row: found {found}; expected one of {', '.join(_STEPS)}.")
    steps = _numbers(path, logged, step)
    epoch = next((name for name in _EPOCHS if name in logged), None)
    rows = _long(path, logged, steps, None if epoch is None else _numbers(path, logged, epoch))
    run_column = next((name for name in _RUNS if name in logged), None)
    of_row = "" if run_column is None else rows["place"].map(logged[run_column])
    return rows.assign(run=rows["run"].where(rows["run"] != "", of_row))


def _numbers(path: Path, table: pd.DataFrame, column: str) -> pd.Series:
    try:
        return pd.to_numeric(table[column])
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{path}, column {column!r}: {error}; expected numbers. Correct it, or export again."
        ) from error


def _long(path: Path, table: pd.DataFrame, steps: pd.Series, epochs: pd.Series | None) -> pd.DataFrame:
    """One row for each number of a known metric; place: its row in ``table``, run: by the name of its column."""
    frames = []
    for column in map(str, table):
        run, _, metric = column.rpartition(" - ")
        if known := split_and_metric(metric):
            keys = {"split": known[0], "metric": known[1], "step": steps, "epoch": np.nan if epochs is None else epochs}
            frames.append(pd.DataFrame({**keys, "value": _numbers(path, table, column), "run": run}))
    columns = ["split", "metric", "step", "epoch", "value", "run"]
    rows = pd.concat(frames) if frames else pd.DataFrame(columns=columns)
    return rows.rename_axis("place").reset_index().dropna(subset="value")


def _checked(
    files: Sequence[Path],
    name: str,
    rows: pd.DataFrame,
    logged: Iterable[str],
    *,
    pairs_per_step: int | None = None,
    n_lost: int = 0,
) -> BatchLog:
    """Each value once, in order. Raises DataError where nothing can be used.

    logged: every name found. n_lost: values that were NaN.
    """
    plain = {one.removeprefix("train/").replace("eval/", "eval_") for one in logged}
    known = set(rows["metric"])
    if not known & set(PREFERENCE) and ("loss" not in known or plain & _OF_OTHER_TRAINERS):
        raise DataError(
            f"{files[0]} is no log of SFT or preference training: found the metrics "
            f"{', '.join(sorted(plain)[:15]) or 'none'}; expected loss, or some of {', '.join(PREFERENCE)}. Pass the "
            "log of an SFT, DPO, KTO, CPO or ORPO trainer."
        )
    if (rows["step"] % 1).any():
        raise DataError(f"{files[0]}: found steps that are no whole numbers. Export or copy the file again.")
    finite = rows[np.isfinite(rows["value"])]
    again = finite.duplicated(["split", "metric", "step"], keep="last")
    n_lost += len(rows) - len(finite)
    notes = [f"{n_lost} values are not finite: not drawn"] if n_lost else []
    unknown = sorted(one for one in plain if split_and_metric(one) is None and not _BOOKKEEPING.fullmatch(one))
    if unknown:
        notes.append(f"metrics of unknown meaning are ignored: {', '.join(unknown[:12])}")
    if again.any():
        steps = finite.loc[again, "step"]
        notes.append(
            f"steps {steps.min():g} to {steps.max():g} are logged twice (a resumed training): the later rows are used"
        )
    ordered = finite[~again].sort_values(["split", "metric", "step"], kind="stable", ignore_index=True)
    columns = ordered[["split", "metric", "step", "epoch", "value"]].astype({"step": int, "epoch": float})
    return BatchLog(name, tuple(files), columns, pairs_per_step, tuple(f"{name}: {note}" for note in notes))
