"""From the trajectory table to curves: the mean over probe examples with its 95 % interval, at every evaluation.

Levels: mean and Student-t interval over examples. Changes are paired: each example's value minus its own value at the
stage's first evaluation, then mean and t interval of these differences, so that what differs between examples
(length, difficulty) cancels. With x_i the n values and s their standard deviation (n − 1):

    mean ± t(0.975; n − 1) · s / √n

One example has no interval (NaN). Values that are not finite are left out and lower n.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ldyn.numerics.statistics import student_t_quantile
from ldyn.records import MEAN_EXAMPLE
from ldyn.report.quantities import QUANTITIES, with_derived, with_greedy

CURVE_KEYS = ["stage", "split", "probe", "step", "examples_seen"]
SERIES_KEYS = ["stage", "split", "probe"]
INTERVAL_NOTE = "95 % Student-t interval over probe examples; changes are paired by example"


def summarise(trajectories: pd.DataFrame, quantities: Sequence[str] = tuple(QUANTITIES)) -> pd.DataFrame:
    """One row for each stage × split × probe × evaluation × quantity.

    Columns: CURVE_KEYS, quantity; ``level``, ``level_half``, ``level_n``; and the same three of the change since the
    stage's first evaluation: ``change`` … (half: half the width of the interval). What was not measured of a probe in a
    stage has no rows. Where the mean alone is known, and no example (imported logs), n is 0.
    """
    table = with_derived(with_greedy(trajectories))
    columns = list(quantities)
    table[columns] = table[columns].astype(float).where(np.isfinite(table[columns].astype(float)))
    changes = _since_first(table, columns)
    rows = _statistics(table, columns, "level").join(_statistics(changes, columns, "change")).reset_index()
    measured = rows.groupby([*SERIES_KEYS, "quantity"])["level"].transform("count") > 0
    return rows[measured].reset_index(drop=True)


def _since_first(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Each example's values minus its own at the first evaluation of the stage."""
    pair = [*SERIES_KEYS, "example_id"]
    first_step = table.groupby("stage")["step"].transform("min")
    first = table[table["step"] == first_step].set_index(pair)[columns]
    before = first.reindex(pd.MultiIndex.from_frame(table[pair]))
    return table.assign(**{column: table[column].to_numpy() - before[column].to_numpy() for column in columns})


def _statistics(table: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
    groups = table.groupby(CURVE_KEYS, sort=True)[columns]
    examples = table[columns].where(table["example_id"] != MEAN_EXAMPLE).groupby([table[key] for key in CURVE_KEYS])
    parts = {"": groups.mean(), "_n": examples.count(), "_half": groups.std(ddof=1)}
    long = pd.DataFrame({name + suffix: part.rename_axis(columns="quantity").stack() for suffix, part in parts.items()})
    n = long[f"{name}_n"].to_numpy(int)
    quantiles = np.array([student_t_quantile(count - 1) if count > 1 else np.nan for count in n])
    long[f"{name}_half"] *= quantiles / np.sqrt(np.maximum(n, 1))
    return long


def select(curves: pd.DataFrame, stage: str, probe: str, quantity: str = "logp", split: str = "train") -> pd.DataFrame:
    """The evaluations of one curve in the order of its steps; empty where there are none."""
    wanted = (
        (curves["stage"] == stage)
        & (curves["probe"] == probe)
        & (curves["quantity"] == quantity)
        & (curves["split"] == split)
    )
    return curves[wanted].sort_values("step")


def main_split(curves: pd.DataFrame) -> str:
    """The split that figures show: "train" as in the paper, or the first there is."""
    splits = sorted(curves["split"].unique())
    return "train" if "train" in splits or not splits else splits[0]
