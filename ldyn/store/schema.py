"""The trajectory table: its columns, their types, its version, and the checks made when it is read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ldyn.errors import RunDirectoryError
from ldyn.records import TRAJECTORY_COLUMNS, ProbeScore, ProbeStep

SCHEMA_VERSION = 1

_VERSION_KEY = b"ldyn.schema_version"
METADATA = {_VERSION_KEY: str(SCHEMA_VERSION).encode()}
TEXT = pa.dictionary(pa.int32(), pa.string())
_TEXT_COLUMNS = ("stage", "algorithm", "split", "example_id", "probe")
_WHOLE_COLUMNS = ("step", "examples_seen", "n_tokens")
_PROBE_STEP_COLUMNS = tuple(ProbeStep.__dataclass_fields__)
MEASURES = tuple(name for name in TRAJECTORY_COLUMNS if name not in (*_TEXT_COLUMNS, *_WHOLE_COLUMNS, "epoch"))
"""What is measured of a response. A row of a run has all of them, or none (null) where a logit was not finite.

A row made of someone else's logs has those that were logged; its epoch and n_tokens are null.
"""
REMAKE = "Copy the file from the run again, or resume or repeat the run."
_TYPES = {**dict.fromkeys(_TEXT_COLUMNS, TEXT), **dict.fromkeys(_WHOLE_COLUMNS, pa.int64())}
SCHEMA = pa.schema(
    [
        pa.field(name, _TYPES.get(name, pa.float64()), nullable=name in (*MEASURES, "epoch", "n_tokens"))
        for name in TRAJECTORY_COLUMNS
    ],
    metadata=METADATA,
)


def table_of_scores(probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> pa.Table:
    """One row for each score, in the order given; its measures are empty where any of them is not finite.

    Raises RunDirectoryError for a response scored twice.
    """
    keys = Counter((score.probe, score.split, score.example_id) for score in scores)
    for probe, split, example_id in (key for key, count in keys.items() if count > 1):
        raise RunDirectoryError(
            f"{probe} of {split} example {example_id} was scored twice at step {probe_step.step} of stage "
            f"{probe_step.stage}: give every example of a split an id of its own."
        )
    columns = {name: [getattr(probe_step, name)] * len(scores) for name in _PROBE_STEP_COLUMNS}
    columns |= {name: [getattr(score, name) for score in scores] for name in TRAJECTORY_COLUMNS if name not in columns}
    flagged = [not is_measured(score) for score in scores]
    for name in MEASURES:
        columns[name] = [None if flag else value for flag, value in zip(flagged, columns[name], strict=True)]
    return pa.table({name: columns[name] for name in TRAJECTORY_COLUMNS}, schema=SCHEMA)


def scores_of_table(table: pa.Table) -> tuple[ProbeStep, list[ProbeScore]]:
    """The probe step and the scores of which `table_of_scores` made ``table``; NaN for every empty measure."""
    rows: list[dict[str, Any]] = [
        {name: math.nan if value is None else value for name, value in row.items()} for row in table.to_pylist()
    ]
    probe_step = ProbeStep(**{name: rows[0][name] for name in _PROBE_STEP_COLUMNS})
    return probe_step, [
        ProbeScore(**{name: row[name] for name in row if name not in _PROBE_STEP_COLUMNS}) for row in rows
    ]


def imported_table(frame: pd.DataFrame) -> pa.Table:
    """The table of rows that come from someone else's logs; columns that ``frame`` lacks are null."""
    return pa.Table.from_pandas(frame.reindex(columns=list(TRAJECTORY_COLUMNS)), schema=SCHEMA, preserve_index=False)


def table_of_log(rows: Sequence[dict[str, float | int | str]], metrics: Sequence[str]) -> pa.Table:
    """The training log: stage, step, then each of ``metrics``, null where a row has none."""
    fields = [pa.field("stage", TEXT), pa.field("step", pa.int64())]
    fields += [pa.field(name, pa.float64()) for name in metrics]
    columns = {field.name: [row.get(field.name) for row in rows] for field in fields}
    return pa.table(columns, schema=pa.schema(fields, metadata=METADATA))


def frame_to_bytes(frame: pd.DataFrame) -> bytes:
    """A table besides the trajectories, as a Parquet file of this version of the schema."""
    return to_bytes(pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(METADATA))


def to_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file; equal tables give equal bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.unify_dictionaries().combine_chunks(), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def read_trajectory_file(path: Path) -> pa.Table:
    """Read and check one file of the trajectory table; raises RunDirectoryError naming what is wrong with it."""
    table = read_table(path)
    with damage_named(path):
        return table.select(list(TRAJECTORY_COLUMNS)).cast(SCHEMA)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file written by this version of the schema, or some columns of it."""
    with damage_named(path):
        table = pq.read_table(path, columns=None if columns is None else list(columns))
        table.validate(full=True)  # finds text that is no UTF-8, and codes without a text
    found = (table.schema.metadata or {}).get(_VERSION_KEY)
    if found != METADATA[_VERSION_KEY]:
        version = "no schema version" if found is None else f"schema version {found.decode(errors='replace')}"
        advice = "Read it with the version of ldyn that wrote it"
        raise RunDirectoryError(f"{path} has {version}, expected {SCHEMA_VERSION}. {advice}.")
    return table


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises while it is read into a RunDirectoryError that names it."""
    try:
        yield
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, pa.ArrowException) as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise RunDirectoryError(f"{path} cannot be read ({found}). {REMAKE}") from error


def is_measured(score: ProbeScore) -> bool:
    """Whether every number of ``score`` is finite."""
    return all(math.isfinite(getattr(score, name)) for name in MEASURES)


def flagged_note(probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> str:
    """Which of ``scores`` could not be measured; empty if all could."""
    flagged = [f"{s.probe} of {s.split} example {s.example_id}" for s in scores if not is_measured(s)]
    if not flagged:
        return ""
    return (
        f"A logit was not finite on {len(flagged)} of {len(scores)} responses at step {probe_step.step} of stage "
        f"{probe_step.stage}: {', '.join(flagged[:3])}{' …' * (len(flagged) > 3)}. These rows have no numbers. If "
        "there are more at every step, the model diverges: lower the learning rate."
    )
