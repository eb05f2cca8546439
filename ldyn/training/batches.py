"""The rows of a stage and how they become batches: shuffled by the seed, divided over processes and micro-batches.

An update sees ``batch_size`` rows: B rows, W processes and A micro-batches make m = B / (W A) rows per process and
micro-batch. Micro-batch i of all processes together is rows [i m W, (i + 1) m W) of the epoch's order.

The last update of an epoch has the rows that remain: no row is dropped, none counts twice. A process without a row of
its own gets a *filler*, a row of another process: it takes part in every collective operation and counts for nothing
(``n_rows`` of its batch is 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from ldyn.records import EncodedPair

REFERENCE_COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")  # TRL's collator knows them by these names


def pointwise_rows(pairs: Sequence[EncodedPair], view: Sequence[str]) -> Dataset:
    """One row for each response in the view: all of ``chosen`` in the pairs' order, then all of ``rejected``."""
    rows = []
    for side in view:
        for pair in pairs:
            response = pair.chosen_ids if side == "chosen" else pair.rejected_ids
            labels = [-100] * len(pair.prompt_ids) + list(response)
            rows.append({"input_ids": [*pair.prompt_ids, *response], "labels": labels})
    return Dataset.from_list(rows)


def pairwise_rows(pairs: Sequence[EncodedPair], references: NDArray[np.float32] | None = None) -> Dataset:
    """One row for each pair; with ``references`` [pairs, 2] also the reference's log-probs of chosen and rejected."""
    rows = Dataset.from_list(
        [
            {
                "prompt_ids": list(pair.prompt_ids),
                "chosen_ids": list(pair.chosen_ids),
                "rejected_ids": list(pair.rejected_ids),
            }
            for pair in pairs
        ]
    )
    if references is None:
        return rows
    for column, logps in zip(REFERENCE_COLUMNS, references.T, strict=True):
        rows = rows.add_column(column, logps.tolist())
    return rows


Batch = dict[str, Any]
Collate = Callable[[list[dict[str, Any]]], Batch]


class StageBatches(Sampler[list[int]]):
    """The micro-batches of one process, as row numbers; an empty one where no row is left for this process.

    rows: in the stage. micro_batch: m above. rank, processes: who this process is. The order of an epoch depends on
    ``seed`` and the epoch alone; it is the order in which accelerate would draw the rows.
    """

    def __init__(self, rows: int, *, micro_batch: int, rank: int, processes: int, seed: int):
        self.rows, self.micro_batch, self.rank, self.processes, self.seed = rows, micro_batch, rank, processes, seed
        self._epoch = 0

    def __len__(self) -> int:
        return math.ceil(self.rows / (self.micro_batch * self.processes))

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(self.seed + self._epoch)).tolist()
        first, of_all = self.rank * self.micro_batch, self.micro_batch * self.processes
        for start in range(first, len(self) * of_all + first, of_all):
            yield order[start : start + self.micro_batch]


class StageLoader(DataLoader[Any]):
    """Batches of ``rows`` for one process; each says in ``n_rows`` how many of its rows count."""

    def __init__(self, rows: Dataset, batches: StageBatches, collate: Collate, *, pin_memory: bool):
        super().__init__(rows, batch_sampler=batches, collate_fn=_Counting(collate, rows[0]), pin_memory=pin_memory)
        self._batches = batches

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer when an epoch begins."""
        self._batches.set_epoch(epoch)


class _Counting:
    """Collates rows, or the filler where there are none, and says how many count."""

    def __init__(self, collate: Collate, filler: dict[str, Any]):
        self._collate, self._filler = collate, filler

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Batch:
        return {**self._collate(list(rows) or [self._filler]), "n_rows": len(rows)}
