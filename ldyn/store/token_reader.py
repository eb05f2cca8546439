"""Reading token records: the tokens of one probe step, or what they say of each response over a whole run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from ldyn.errors import RunDirectoryError
from ldyn.store.parts import Parts
from ldyn.store.reader import find_run, frame_of
from ldyn.store.schema import read_table
from ldyn.store.tokens import RECORDS_DIR, SUMMARIES, TOKEN_SCHEMA

_SUMMARY_COLUMNS = ("stage", "step", "split", "example_id", "probe", "n_tokens", *SUMMARIES)


def read_tokens(run: Path, stage: str, step: int) -> pd.DataFrame:
    """The token records of one probe_step of the run at ``run``: one row for each response, lists as arrays.

    The columns are those of ``ldyn.store.tokens.TOKEN_SCHEMA``; to have one row for each token,
    ``frame.explode([...])`` the columns of interest. Raises RunDirectoryError, saying which probe_steps there are,
    where this one has no records.
    """
    parts = _parts(run)
    path = parts.path(stage, step)
    if not path.exists():
        there = parts.steps(stage)
        known = f"the steps with records are {', '.join(map(str, there))}" if there else f"stage {stage} has none"
        asked = "records are kept where the run was started with probes.per_token=true"
        raise RunDirectoryError(
            f"{parts.root.parent} has no token records of step {step} of {stage}: {known}; {asked}."
        )
    return frame_of(read_table(path))


def read_token_summaries(run: Path) -> pd.DataFrame:
    """``argmax_gained`` and ``kept_mass`` of every response at every probe_step; no row where nothing was recorded.

    Columns: stage, step, split, example_id, probe, n_tokens and these two, see ``ldyn.records.TokenRecord``.
    """
    tables = [read_table(path, columns=_SUMMARY_COLUMNS) for path in _parts(run).all_files()]
    empty = pa.schema([TOKEN_SCHEMA.field(name) for name in _SUMMARY_COLUMNS]).empty_table()
    return frame_of(pa.concat_tables(tables) if tables else empty)


def _parts(run: Path) -> Parts:
    return Parts(find_run(run) / RECORDS_DIR)
