"""What each arm of an experiment did, in numbers: changes over the whole arm, of one run or of several seeds.

An arm's change is taken from before the first update of its first round to after the last update of its last, paired by
probe example. Quantities, in nats: ``chosen`` y⁺, ``rejected`` y⁻, ``others`` (the mean over all other responses of the
example), ``greedy`` (the mass of the most likely tokens along y⁺) and ``margin``, the change of y⁺ less that of y⁻.
Where answers to the probe questions were sampled also pass@1 and pass@8, shares, and their entropy, nats per token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ldyn.findings.claims_rl import K, pass_table
from ldyn.findings.stages import AFTER_SFT, PreferenceArm, arms_of
from ldyn.numerics.statistics import t_half_width
from ldyn.records import StageInfo
from ldyn.report.style import GREEDY

OTHERS, MARGIN = "others", "margin"
QUANTITIES = ("chosen", "rejected", OTHERS, GREEDY, MARGIN)
SAMPLED = ("pass@1", f"pass@{K}", "entropy")


def arm_changes(
    trajectories: pd.DataFrame, stages: Sequence[StageInfo], passes: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Columns arm, quantity, example_id, change; arms in the order they ran, without those that have not ended.

    passes: the run's table of that name.
    """
    table = trajectories[trajectories["split"] == "train"]
    measured = set(table["stage"])
    arms = [arm for arm in arms_of(stages, AFTER_SFT) if {stage.name for stage in arm.rounds} <= measured]
    frames = [_changes_of(arm, table).assign(arm=arm.name) for arm in arms]
    if passes is not None:
        sampled = pass_table(passes[passes["split"] == "train"])
        frames += [_sampled_changes(arm, sampled).assign(arm=arm.name) for arm in arms]
    columns = ["arm", "quantity", "example_id", "change"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _changes_of(arm: PreferenceArm, table: pd.DataFrame) -> pd.DataFrame:
    change = _change(arm, table, ["example_id", "probe"], ["logp", "logp_argmax"])
    logp = change["logp"].unstack("probe")  # examples × probes
    wide = pd.DataFrame(index=logp.index)
    wide["chosen"], wide["rejected"] = logp.get("chosen"), logp.get("rejected")
    wide[OTHERS] = logp.drop(columns=["chosen", "rejected"], errors="ignore").mean(axis=1)
    wide[GREEDY] = change["logp_argmax"].unstack("probe").get("chosen")
    wide[MARGIN] = wide["chosen"] - wide["rejected"]
    return wide.reset_index().melt("example_id", var_name="quantity", value_name="change").dropna()


def _sampled_changes(arm: PreferenceArm, table: pd.DataFrame) -> pd.DataFrame:
    change = _change(arm, table, ["example_id"], list(SAMPLED))
    return change.reset_index().melt("example_id", var_name="quantity", value_name="change").dropna()


def _change(arm: PreferenceArm, table: pd.DataFrame, keys: list[str], columns: list[str]) -> pd.DataFrame:
    def values_at(stage: StageInfo, which: str) -> pd.DataFrame:
        rows = table[table["stage"] == stage.name]
        rows = rows[rows["step"] == rows["step"].agg(which)]
        values: pd.DataFrame = rows.set_index(keys)[columns].astype(float)
        return values

    return values_at(arm.last, "max") - values_at(arm.first, "min")


def summarise_arms(runs: Mapping[str, pd.DataFrame], *, over_runs: bool | None = None) -> pd.DataFrame:
    """Mean and 95 % Student-t interval of each arm and quantity; ``runs``: seed -> its ``arm_changes``.

    Of one run the interval is over its probe examples; of several it is over the runs' means, so that it speaks of
    other seeds. ``over_runs`` asks for the one or the other: over the runs, a single run has no interval.
    Columns: arm, quantity, mean, half (NaN where there is one value only), n, of_each (the means of runs).
    """
    whole = pd.concat([frame.assign(run=name) for name, frame in runs.items()], ignore_index=True)
    keys = ["arm", "quantity"]
    by_run = whole.groupby([*keys, "run"], sort=False)["change"].mean().reset_index("run")
    over_runs = len(runs) > 1 if over_runs is None else over_runs
    units = (by_run if over_runs else whole.set_index(keys))["change"].groupby(keys, sort=False)
    summary = pd.DataFrame({"mean": units.mean(), "n": units.count()})
    summary["half"] = t_half_width(units.std(ddof=1), summary["n"])
    summary["of_each"] = by_run["change"].groupby(keys, sort=False).agg(list)
    return summary.reset_index()
