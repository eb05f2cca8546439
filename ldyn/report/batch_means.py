"""Curves of log π from a trainer's own log of batch means, in the form of ``ldyn.report.curves``."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ldyn.report.curves import CURVE_KEYS

WARNING = (
    "Batch means of a trainer's own log: other pairs at every step. The curves show trends; no claim can be judged by "
    "them. What they can and cannot show is under “What to know of the numbers”."
)


def batch_curves(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each stage × split × side × step, of log π: as ``summarise`` gives them, with n = 0.

    change: rewards over β where the table has it, the change since the reference of the step's own pairs; else log π
    minus its first logged value, of other pairs.
    """
    frames = [_of_side(table, side) for side in ("chosen", "rejected")]
    rows = pd.concat(frames, ignore_index=True)
    nothing = {"level_half": np.nan, "level_n": 0, "change_half": np.nan, "change_n": 0}
    return rows.assign(quantity="logp", **nothing)[
        [*CURVE_KEYS, "quantity", "level", "level_half", "level_n", "change", "change_half", "change_n"]
    ]


def _of_side(table: pd.DataFrame, side: str) -> pd.DataFrame:
    wanted = {f"logps/{side}": "level", f"change/{side}": "change"}
    keys = [key for key in CURVE_KEYS if key != "probe"]
    rows = table[table["metric"].isin(list(wanted))].pivot(index=keys, columns="metric", values="value")
    rows = rows.rename(columns=wanted).reindex(columns=["level", "change"]).astype(float).reset_index()
    first = rows.groupby(["stage", "split"])["level"].transform("first")
    has_change = rows.groupby(["stage", "split"])["change"].transform("count") > 0
    return rows.assign(probe=side, change=rows["change"].where(has_change, rows["level"] - first))
