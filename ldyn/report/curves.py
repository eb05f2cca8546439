"""Curves from the trajectory table: mean over probe examples with its 95 % interval, at every evaluation.

Levels: mean and Student-t interval over examples. Changes are paired: each example's value minus its own value at the
stage's first evaluation, then mean and t interval of these differences, so that what differs between examples
(length, difficulty) cancels. With x_i the n values and s their standard deviation (n − 1):

    mean ± t(0.975; n − 1) · s / √n

One example has no interval (NaN). Values that are not finite are ignored and lower n. A trainer's own log of batch
means has curves of the same form, without intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ldyn.numerics.statistics import t_half_width
from ldyn.records import MEAN_EXAMPLE


@dataclass(frozen=True, slots=True)
class Quantity:
    """label: words for an axis; unit: of the values; about: one sentence that says what is measured."""

    label: str
    unit: str
    about: str


QUANTITIES: Mapping[str, Quantity] = {
    "logp": Quantity(
        "log π(y|x)", "nats", "Log-probability of the response given the prompt, summed over its tokens (EOS counts)."
    ),
    "logp_per_token": Quantity(
        "log π(y|x) per token", "nats per token", "The same divided by the number of response tokens."
    ),
    "logp_argmax": Quantity(
        "log π(y*) along y",
        "nats",
        "Greedy mass: log-probability of the most likely token at each position, teacher-forced along the response, "
        "summed over positions.",
    ),
    "entropy": Quantity("entropy", "nats per token", "Entropy of the next-token distribution, mean over positions."),
    "argmax_is_label": Quantity(
        "argmax is the label", "share of positions", "Share of positions where the most likely token is the response's."
    ),
    "p_label": Quantity("π(label)", "probability", "Probability of the response's own token, mean over positions."),
    "residual_norm": Quantity(
        "‖π − e_y‖₂", "norm", "Length of the residual that a gradient step on this response carries, mean per token."
    ),
}


def with_greedy(trajectories: pd.DataFrame) -> pd.DataFrame:
    """The table with one more curve, "greedy": the mass of the argmax along the chosen response, as its logp.

    A stage in which that mass was not measured (imported logs) has no such curve.
    """
    chosen = trajectories[trajectories["probe"] == "chosen"]
    measured = chosen.groupby("stage")["logp_argmax"].transform("count") > 0
    greedy = chosen[measured].assign(probe="greedy", logp=lambda rows: rows["logp_argmax"])
    return pd.concat([trajectories, greedy], ignore_index=True)


CURVE_KEYS = ["stage", "split", "probe", "step", "examples_seen"]


def summarise(trajectories: pd.DataFrame, quantities: Sequence[str] = tuple(QUANTITIES)) -> pd.DataFrame:
    """One row for each stage × split × probe × evaluation × quantity.

    Columns: CURVE_KEYS, quantity; ``level``, ``level_half``, ``level_n``; and the same three of the change since the
    stage's first evaluation: ``change`` … (half: half the width of the interval). What was not measured of a probe in a
    stage has no rows. Where the mean alone is known, and no example (imported logs), n is 0.
    """
    table = with_greedy(trajectories)
    table["logp_per_token"] = table["logp"] / table["n_tokens"]
    columns = list(quantities)
    table[columns] = table[columns].astype(float).where(np.isfinite(table[columns].astype(float)))
    series = ["stage", "split", "probe"]
    pair = [*series, "example_id"]
    first = table[table["step"] == table.groupby("stage")["step"].transform("min")].set_index(pair)[columns]
    before = first.reindex(pd.MultiIndex.from_frame(table[pair]))
    changes = table.assign(**{name: table[name].to_numpy() - before[name].to_numpy() for name in columns})
    rows = _statistics(table, columns, "level").join(_statistics(changes, columns, "change")).reset_index()
    measured = rows.groupby([*series, "quantity"])["level"].transform("count") > 0
    return rows[measured].reset_index(drop=True)


def _statistics(table: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
    groups = table.groupby(CURVE_KEYS, sort=True)[columns]
    examples = table[columns].where(table["example_id"] != MEAN_EXAMPLE).groupby([table[key] for key in CURVE_KEYS])
    parts = {"": groups.mean(), "_n": examples.count(), "_half": groups.std(ddof=1)}
    long = pd.DataFrame({name + suffix: part.rename_axis(columns="quantity").stack() for suffix, part in parts.items()})
    long[f"{name}_half"] = t_half_width(long[f"{name}_half"], long[f"{name}_n"])
    return long


def over_seeds(curves: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The curves of several runs (``summarise``) as one: the mean of their means, with the t interval over the runs.

    An evaluation that some run lacks is dropped. n: the number of runs.
    """
    keys = [*CURVE_KEYS, "quantity"]
    groups = pd.concat(curves).groupby(keys, sort=True)
    rows = groups[["level", "change"]].mean()
    for value in ("level", "change"):
        rows[f"{value}_n"] = groups[value].count()
        rows[f"{value}_half"] = t_half_width(groups[value].std(ddof=1), rows[f"{value}_n"])
    return rows[rows["level_n"] == len(curves)].reset_index()


BATCH_WARNING = (
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


def main_split(curves: pd.DataFrame) -> str:
    """The split that figures show: "train" as in the paper, or the first there is."""
    splits = sorted(curves["split"].unique())
    return "train" if "train" in splits or not splits else splits[0]
