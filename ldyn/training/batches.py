"""The rows of a stage and how they become batches: shuffled by the seed, divided over processes and micro-batches.

An update sees ``batch_size`` rows: B rows, W processes and A micro-batches make m = B / (W A) rows per process and
micro-batch. Micro-batch i of all processes together is rows [i m W, (i + 1) m W) of the epoch's order.

The last update of an epoch has the rows that remain: no row is dropped, none counts twice. A process without a row of
its own gets a *filler*, a row of another process: it takes part in every collective operation and counts for nothing
(``n_rows`` of its batch is 0).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from ldyn.models.packing import Document, PackedBatch, in_rows, pack, split
from ldyn.records import EncodedPair

REFERENCE_COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")


def pointwise_rows(pairs: Sequence[EncodedPair], view: Sequence[str]) -> Dataset:
    """One row for each response in the view: all of ``chosen`` in the pairs' order, then all of ``rejected``."""
    rows = []
    for side in view:
        for pair in pairs:
            response = pair.chosen_ids if side == "chosen" else pair.rejected_ids
            labels = [-100] * len(pair.prompt_ids) + list(response)
            rows.append({"input_ids": [*pair.prompt_ids, *response], "labels": labels})
    return Dataset.from_list(rows)


def pair_row(pair: EncodedPair) -> dict[str, list[int]]:
    """A pair under the names of TRL's columns."""
    sides = {"chosen_ids": list(pair.chosen_ids), "rejected_ids": list(pair.rejected_ids)}
    return {"prompt_ids": list(pair.prompt_ids), **sides}


def pairwise_rows(pairs: Sequence[EncodedPair], references: NDArray[np.float32] | None = None) -> Dataset:
    """One row for each pair; with ``references`` [pairs, 2] also the reference's log-probs of chosen and rejected."""
    rows = Dataset.from_list([pair_row(pair) for pair in pairs])
    if references is None:
        return rows
    for column, logps in zip(REFERENCE_COLUMNS, references.T, strict=True):
        rows = rows.add_column(column, logps.tolist())
    return rows


Batch = dict[str, Any]
Collate = Callable[[list[dict[str, Any]]], Batch]


def pointwise_documents(rows: Sequence[Mapping[str, Any]]) -> list[Document]:
    """Each row's response behind its prompt; its key is the row's number."""
    documents = []
    for number, row in enumerate(rows):
        n_prompt = row["labels"].count(-100)
        ids = tuple(row["input_ids"])
        documents.append(Document(ids[:n_prompt], (number,), (ids[n_prompt:],)))
    return documents


def pairwise_documents(rows: Sequence[Mapping[str, Any]]) -> list[Document]:
    """Both responses of each row behind one prompt; the keys number all chosen ones, then all rejected ones."""
    return [
        Document(
            tuple(row["prompt_ids"]),
            (number, len(rows) + number),
            (tuple(row["chosen_ids"]), tuple(row["rejected_ids"])),
        )
        for number, row in enumerate(rows)
    ]


@dataclass(frozen=True)
class Layout:
    """How documents become a batch. plain: a row for each response, padded; else rows of several documents.

    hidden_size: h in the rule for the number of rows. token_budget: of one packed forward pass.
    """

    pad_id: int
    hidden_size: float
    plain: bool
    token_budget: int

    def pack(self, documents: Sequence[Document]) -> PackedBatch:
        if not self.plain:
            return pack(in_rows(documents, self.hidden_size), pad_id=self.pad_id)
        single = sorted(split(documents), key=lambda document: document.keys[0])
        return pack([[document] for document in single], pad_id=self.pad_id, plain=True)

    def parts(self, documents: Sequence[Document]) -> list[range]:
        """Neighbours that together are within the budget; a document that is larger is alone."""
        cuts, total = [0], 0
        for index, document in enumerate(documents):
            if index > cuts[-1] and total + document.n_tokens > self.token_budget:
                cuts.append(index)
                total = 0
            total += document.n_tokens
        return [range(*ends) for ends in itertools.pairwise([*cuts, len(documents)])]


@dataclass(frozen=True)
class PartCollator:
    """Makes a micro-batch's rows into parts, each for one forward and backward pass; padded ones are one part.

    documents: ``pointwise_documents`` or ``pairwise_documents``. A part holds its PackedBatch in ``packed``, reference
    log-probs [rows] by column, and in ``n_rows`` its rows.
    """

    documents: Callable[[Sequence[Mapping[str, Any]]], list[Document]]
    layout: Layout

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        parts = [range(len(rows))] if self.layout.plain else self.layout.parts(self.documents(rows))
        return {"parts": [self._part(rows[part.start : part.stop]) for part in parts]}

    def _part(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        columns = {name: torch.tensor([row[name] for row in rows]) for name in REFERENCE_COLUMNS if name in rows[0]}
        return {"packed": self.layout.pack(self.documents(rows)), "n_rows": len(rows), **columns}


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
    """Batches of ``rows`` for one process; ``n_rows`` of each is how many of its rows count."""

    def __init__(self, rows: Dataset, batches: StageBatches, collate: Collate, *, pin_memory: bool):
        super().__init__(rows, batch_sampler=batches, collate_fn=_Counting(collate, rows[0]), pin_memory=pin_memory)
        self._batches = batches

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer when an epoch begins."""
        self._batches.set_epoch(epoch)


class _Counting:
    """Collates rows, or the filler where there are none, and adds ``n_rows``."""

    def __init__(self, collate: Collate, filler: dict[str, Any]):
        self._collate, self._filler = collate, filler

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Batch:
        return {**self._collate(list(rows) or [self._filler]), "n_rows": len(rows)}
