"""Token records in Parquet: one part for each probe step, one row for each response, lists of one value for each token.

Lists are stored as one array with offsets, so a question to one column reads that column only. ``start_ids`` is there
at a stage's step 0 only: the START_TOKENS most likely tokens of each position, one position after the other. A number
is empty (null) where a logit was not finite. The columns are explained in ``ldyn.records.TokenRecord``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ldyn.records import ProbeStep, TokenRecord
from ldyn.store.schema import METADATA, TEXT, read_table

RECORDS_DIR = "per_token"

_KEYS = ("split", "example_id", "probe")
_INTEGERS, _FLOATS = ("token_ids", "argmax_ids"), ("logp", "logp_argmax", "entropy", "logp_start_argmax")
_IDS, _NUMBERS = (pa.list_(pa.field("element", kind)) for kind in (pa.int32(), pa.float32()))  # Parquet's own name
SUMMARIES = ("argmax_gained", "kept_mass")
TOKEN_SCHEMA = pa.schema(
    [
        *(pa.field(name, TEXT, nullable=False) for name in ("stage", *_KEYS)),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("step", "n_tokens")),
        *(pa.field(name, _IDS, nullable=False) for name in _INTEGERS),
        *(pa.field(name, _NUMBERS, nullable=False) for name in _FLOATS),
        *(pa.field(name, pa.float64()) for name in SUMMARIES),
        pa.field("start_ids", _IDS),
    ],
    metadata=METADATA,
)


def table_of_tokens(probe_step: ProbeStep, records: Sequence[TokenRecord]) -> pa.Table:
    """One row for each record, in the order given."""
    columns: dict[str, Any] = {"stage": [probe_step.stage] * len(records), "step": [probe_step.step] * len(records)}
    columns |= {name: [getattr(record, name) for record in records] for name in (*_KEYS, "n_tokens")}
    columns |= {name: _lists([getattr(record, name) for record in records], _IDS) for name in _INTEGERS}
    columns |= {name: _lists([getattr(record, name) for record in records], _NUMBERS) for name in _FLOATS}
    columns |= {name: _numbers(np.array([getattr(record, name) for record in records])) for name in SUMMARIES}
    starts = [record.start_ids for record in records]
    columns["start_ids"] = pa.array([None if ids is None else ids.ravel() for ids in starts], _IDS)
    return pa.table({name: columns[name] for name in TOKEN_SCHEMA.names}, schema=TOKEN_SCHEMA)


def _lists(arrays: Sequence[NDArray[Any]], kind: pa.ListType) -> pa.ListArray:
    offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), _numbers(np.concatenate(arrays)), type=kind)


def _numbers(values: NDArray[Any]) -> pa.Array:
    return pa.array(values, from_pandas=True)  # NaN becomes null


def records_in(path: Path) -> list[TokenRecord]:
    """The records of one part, as they were when it was written."""
    return [_record(row) for row in read_table(path).to_pylist()]


def _record(row: dict[str, Any]) -> TokenRecord:
    fields = {name: row[name] for name in _KEYS}
    fields |= {name: np.array(row[name], np.int32) for name in _INTEGERS}
    fields |= {name: np.array(row[name], np.float32) for name in _FLOATS}  # None becomes NaN
    fields |= {name: np.nan if row[name] is None else row[name] for name in SUMMARIES}
    if row["start_ids"] is not None:
        fields["start_ids"] = np.array(row["start_ids"], np.int32).reshape(row["n_tokens"], -1)
    return TokenRecord(**fields)
