"""What each arm of an experiment did, in numbers: changes over the whole arm, of one run or of several seeds.

An arm's change is taken from before the first update of its first round to after the last update of its last, paired by
probe example. Quantities, in nats: ``chosen`` y⁺, ``rejected`` y⁻, ``others`` (the mean over all other responses of the
example), ``greedy`` (the mass of the most likely tokens along y⁺) and ``margin``, the change of y⁺ less that of y⁻.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ldyn.findings.stages import PreferenceArm, arms_of
from ldyn.numerics.statistics import t_half_width
from ldyn.records import StageInfo
from ldyn.report.style import GREEDY

OTHERS, MARGIN = "others", "margin"
QUANTITIES = ("chosen", "rejected", OTHERS, GREEDY, MARGIN)


def arm_changes(trajectories: pd.DataFrame, stages: Sequence[StageInfo], split: str = "train") -> pd.DataFrame:
    """Columns arm, quantity, example_id, change; arms in the order they ran, without those that have not ended."""
    table = trajectories[trajectories["split"] == split]
    measured = set(table["stage"])
    arms = [arm for arm in arms_of(stages) if {stage.name for stage in arm.rounds} <= measured]
    frames = [_changes_of(arm, table).assign(arm=arm.name) for arm in arms]
    columns = ["arm", "quantity", "example_id", "change"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _changes_of(arm: PreferenceArm, table: pd.DataFrame) -> pd.DataFrame:
    before = _values_at(table, arm.first, "min")
    after = _values_at(table, arm.last, "max")
    change = (after - before)["logp"].unstack("probe")  # examples × probes
    wide = pd.DataFrame(index=change.index)
    wide["chosen"], wide["rejected"] = change.get("chosen"), change.get("rejected")
    wide[OTHERS] = change.drop(columns=["chosen", "rejected"], errors="ignore").mean(axis=1)
    greedy = (after - before)["logp_argmax"].unstack("probe")
    wide[GREEDY] = greedy.get("chosen")
    wide[MARGIN] = wide["chosen"] - wide["rejected"]
    return wide.reset_index().melt("example_id", var_name="quantity", value_name="change").dropna()


def _values_at(table: pd.DataFrame, stage: StageInfo, which: str) -> pd.DataFrame:
    rows = table[table["stage"] == stage.name]
    rows = rows[rows["step"] == rows["step"].agg(which)]
    values: pd.DataFrame = rows.set_index(["example_id", "probe"])[["logp", "logp_argmax"]].astype(float)
    return values


def summarise_arms(runs: Mapping[str, pd.DataFrame], *, over_runs: bool | None = None) -> pd.DataFrame:
    """Mean and 95 % Student-t interval of each arm and quantity; ``runs``: seed (in words) -> ``arm_changes``.

    Of one run the interval is over its probe examples; of several it is over the runs' means, so that it speaks of
    other seeds. ``over_runs`` asks for the one or the other: over the runs, a single run has no interval.
    Columns: arm, quantity, mean, half (NaN where there is one value only), n, of_each (the means of runs).
    """
    whole = pd.concat([frame.assign(run=name) for name, frame in runs.items()], ignore_index=True)
    keys = ["arm", "quantity"]
    by_run = whole.groupby([*keys, "run"], sort=False)["change"].mean()
    over_runs = len(runs) > 1 if over_runs is None else over_runs
    units = by_run.droplevel("run") if over_runs else whole.set_index(keys)["change"]
    rows = []
    for arm, quantity in dict.fromkeys(units.index):
        of_each = _at(by_run, arm, quantity).to_numpy(float)
        rows.append({"arm": arm, "quantity": quantity, **_mean_and_half(_at(units, arm, quantity)), "of_each": of_each})
    return pd.DataFrame(rows)


def _at(units: pd.Series, arm: str, quantity: str) -> pd.Series:
    names = units.index.get_level_values
    return units[(names("arm") == arm) & (names("quantity") == quantity)]


def _mean_and_half(values: pd.Series) -> dict[str, float]:
    found = values.dropna()
    n = len(found)
    half = float(t_half_width(found.std(ddof=1), n))
    return {"mean": found.mean(), "half": half, "n": n}
