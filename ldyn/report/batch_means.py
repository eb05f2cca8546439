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
    named = table["metric"].str.extract(r"^(?P<of>logps|change)/(?P<probe>chosen|rejected)$")
    rows = table.assign(**named).dropna(subset="probe").pivot(index=CURVE_KEYS, columns="of", values="value")
    rows = rows.reindex(columns=["logps", "change"]).astype(float).reset_index()
    curves = rows.groupby(["stage", "split", "probe"])
    since_first = rows["logps"] - curves["logps"].transform("first")
    change = rows["change"].where(curves["change"].transform("count") > 0, since_first)
    nothing = {"level_half": np.nan, "level_n": 0, "change_half": np.nan, "change_n": 0}
    return rows.rename(columns={"logps": "level"}).assign(quantity="logp", change=change, **nothing)
