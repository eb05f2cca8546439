"""What a trainer logged while it trained (TRL's metrics): batch means, as one table of metrics over steps.

A value is the mean over the pairs of the batches since the row before, scored before the update on them: other pairs at
every step. ``eval_`` metrics are means over the evaluation set, the same pairs each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ldyn.errors import DataError

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
_OF_OTHER_TRAINERS = re.compile(r"(eval_)?(mean_reward|reward|margin|accuracy|completions?/.*|objective/.*|policy/.*)")
_BOOKKEEPING = re.compile(r"(eval_|train_|total_)?(step|epoch|num_tokens|runtime|\w+_per_second|train_loss|flos|loss)")


class Cell(NamedTuple):
    """One logged number. split: "train", or "test" for an evaluation set."""

    split: str
    step: int
    epoch: float
    metric: str
    value: float


@dataclass(frozen=True)
class BatchLog:
    """One training. rows: the fields of Cell, by split, metric and step, each step once and every value finite.

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


def batch_log(
    files: Sequence[Path], name: str, cells: Iterable[Cell], logged: Sequence[str], pairs_per_step: int | None = None
) -> BatchLog:
    """Check and order the cells. logged: every name found, for messages. Raises DataError where nothing can be used."""
    rows = pd.DataFrame(list(cells), columns=list(Cell._fields))
    plain = {one.removeprefix("train/").replace("eval/", "eval_") for one in logged}
    foreign = sorted(one for one in plain if _OF_OTHER_TRAINERS.fullmatch(one))
    known = set(rows["metric"])
    if not known & set(PREFERENCE) and ("loss" not in known or foreign):
        found = ", ".join(sorted(plain)[:15]) or "none"
        raise DataError(
            f"{files[0]} is no log of SFT or preference training: found the metrics {found}; expected loss, or some of "
            f"{', '.join(PREFERENCE)}. Pass the log of an SFT, DPO, KTO, CPO or ORPO trainer."
        )
    ignored = sorted(one for one in plain if split_and_metric(one) is None and not _BOOKKEEPING.fullmatch(one))
    notes = [f"metrics of unknown meaning are ignored: {', '.join(ignored[:12])}"] if ignored else []
    infinite = ~np.isfinite(rows["value"])
    if infinite.any():
        first = rows[infinite].iloc[0]
        notes.append(
            f"{infinite.sum()} values are not finite, first {first['metric']} of step {first['step']}: not drawn"
        )
    rows, order = _one_value_a_step(rows[~infinite])
    notes += order
    return BatchLog(name, tuple(files), rows, pairs_per_step, tuple(f"{name}: {note}" for note in notes))


def _one_value_a_step(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Sorted by split, metric and step; of two values of a step the later one, and a note about it."""
    curve = ["split", "metric"]
    again = rows.duplicated([*curve, "step"], keep="last")
    is_back = (rows.groupby(curve)["step"].diff() < 0).any()
    notes = []
    if again.any():
        steps = rows.loc[again, "step"]
        notes = [f"steps {steps.min()} to {steps.max()} are logged twice (a resumed training): the later rows are used"]
    elif is_back:
        notes = ["the rows are out of order: sorted by step"]
    return rows[~again].sort_values([*curve, "step"], kind="stable").reset_index(drop=True), notes
