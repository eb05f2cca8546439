"""T1 to T5 and M1: the claims of the two studies, from the tables that `ldyn toy` and `ldyn images` write.

Toy: the unit is a random start. A *condition* is a size V of the softmax, a kind of start, a place of y⁻ and a step
size; a claim about all conditions is about the one where a start does worst. The theory is in ``ldyn.theory.toy``.

Images: the unit is a seed (split, weights, order). The influence matrix M has a row for each class c that was learned
and a column for each class o that was observed: the change of log π(c | x) on held-out images x of class o, summed over
all steps on images of c (``ldyn.theory.images``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from ldyn.findings.claim import Claim, Measure, Part, secondary
from ldyn.findings.evidence import Evidence
from ldyn.findings.intervals import Side
from ldyn.numerics.statistics import rank_correlation

CONDITION = ["labels", "start", "position", "step_size"]
NOT_UNIFORM = ["flat", "peaky"]
ALIKE = (4, 9)
"""The paper's example of two classes that look alike."""

Columns = Callable[[pd.DataFrame], pd.DataFrame]
Reduce = Callable[..., pd.Series]


def _toy_part(quantity: str, side: Side, columns: Columns, unit: str = "nats", reduce: Reduce | None = None) -> Part:
    """Claimed of every column (condition): of the worst one, see ``_worst``."""

    def measure(evidence: Evidence) -> pd.DataFrame | None:
        table = evidence.table("toy")
        found = columns(table) if table is not None else pd.DataFrame()
        return None if found.empty else found

    return Part(quantity, side, measure, unit=unit, smallest=0.0, reduce=partial(reduce or _worst, side=side))


def _own_worst(columns: pd.DataFrame, side: Side) -> pd.Series:
    """Of each start its own worst column: for what is claimed of every single step."""
    return columns.min(axis=1) if side == "above" else columns.max(axis=1)


def _worst(columns: pd.DataFrame, side: Side) -> pd.Series:
    """Of each start the column (condition) in which the *other* starts do worst in the mean."""
    values = columns.to_numpy(dtype=np.float64)
    others = values.sum(axis=0) - values
    worst = others.argmin(axis=1) if side == "above" else others.argmax(axis=1)
    return pd.Series(values[np.arange(len(values)), worst], columns.index)


def _wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Units × (condition, step)."""
    return table.pivot(index="unit", columns=[*CONDITION, "step"], values=column).sort_index(axis=1)


def _single_steps(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Change over each single step: units × (condition, step)."""
    return _wide(table, column).T.groupby(level=CONDITION).diff().T.dropna(axis=1, how="all")


def _at(wide: pd.DataFrame, **levels: object) -> pd.DataFrame:
    """The columns with the given levels, without these levels; empty where there are none."""
    if any(value not in wide.columns.get_level_values(name) for name, value in levels.items()):
        return pd.DataFrame()
    return pd.DataFrame(wide.xs(tuple(levels.values()), axis=1, level=list(levels)))


def _last(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Value after the last step: units × conditions."""
    return _at(_wide(table, column), step=table["step"].max())


def _changes(table: pd.DataFrame, column: str, **levels: object) -> pd.DataFrame:
    """Change over all steps: units × conditions."""
    change = _last(table, column) - _at(_wide(table, column), step=0)
    return _at(change, **levels) if levels else change


def _not_uniform(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["start"].isin(NOT_UNIFORM)]


def _others(start: str, position: str = "valley") -> Columns:
    return lambda table: _changes(table, "others", start=start, position=position)


def _minus(one: Columns, other: Columns) -> Columns:
    return lambda table: one(table) - other(table)


def _gain_of_greedy(table: pd.DataFrame) -> pd.DataFrame:
    """How much more probability y* gains than y⁻ loses over all steps, in the peaky start, y⁻ in a valley."""
    probabilities = table.assign(rejected=np.exp(table["logp_rejected"]), greedy=np.exp(table["logp_greedy"]))
    gains = _changes(probabilities, "greedy") + _changes(probabilities, "rejected")
    return _at(gains, start="peaky", position="valley")


def _valley_minus_peak(table: pd.DataFrame) -> pd.DataFrame:
    own = _not_uniform(table)
    return _changes(own, "others", position="valley") - _changes(own, "others", position="peak")


def _by_step_size(table: pd.DataFrame) -> pd.DataFrame:
    """Change of other labels over one step, y⁻ in a valley, minus that with the next smaller step size."""
    own = _not_uniform(table)
    first = _changes(own[own["step"] <= 1], "others", position="valley")
    return first.T.groupby(level=["labels", "start"]).diff().T.dropna(axis=1, how="all")


def _pairs(evidence: Evidence) -> pd.DataFrame | None:
    """Influence on the learned class itself, observed on images of another."""
    table = evidence.table("images_influence")
    return (
        None if table is None else table[(table["learned"] != table["observed"]) & (table["label"] == table["learned"])]
    )


def _correlation(one: str, other: str) -> Measure:
    """Of each seed: the rank correlation of two columns over the 90 pairs of different classes."""

    def measure(evidence: Evidence) -> pd.Series | None:
        pairs = _pairs(evidence)
        if pairs is None:
            return None
        wide = [pairs.pivot(index="seed", columns=["learned", "observed"], values=column) for column in (one, other)]
        return pd.Series(rank_correlation(wide[0].to_numpy(float), wide[1].to_numpy(float)), wide[0].index)

    return measure


def _between_alike(evidence: Evidence) -> pd.Series | None:
    """Of each seed: influence between ALIKE, both ways, minus that of each on the eight other classes."""
    pairs = _pairs(evidence)
    if pairs is None:
        return None
    rows = pairs[pairs["learned"].isin(ALIKE)]
    alike = rows["observed"].isin(ALIKE)
    between, others = (rows[chosen].groupby("seed")["actual"].mean() for chosen in (alike, ~alike))
    return between - others


def _toy(name: str, text: str, paper: str, *parts: Part) -> Claim:
    return Claim(name, f"Softmax: {text}", f"Fig. 2, App. E: {paper}", parts, study="toy")


CLAIMS = (
    _toy(
        "T1",
        "pushing y⁻ down lowers p(y⁻), always",
        "always",
        _toy_part(
            "change of log p(y⁻) in the step where it falls least",
            "below",
            partial(_single_steps, column="logp_rejected"),
            reduce=_own_worst,
        ),
    ),
    _toy(
        "T2",
        "pushing y⁻ down raises the most likely other label y*, always",
        "always",
        _toy_part(
            "change of log p(y*) in the step where it rises least",
            "above",
            partial(_single_steps, column="logp_greedy"),
            reduce=_own_worst,
        ),
    ),
    _toy(
        "T3",
        "the rich get richer: likely labels tend to rise, unlikely ones to fall",
        "a tendency, where p is not uniform",
        _toy_part(
            "rank correlation of p with the change of log p where it is lowest",
            "above",
            lambda table: _last(_not_uniform(table), "rank_correlation"),
            "rank correlation",
        ),
        _toy_part(
            "change of log p of the less likely half, y⁻ in a valley, where it falls least",
            "below",
            lambda table: _changes(_not_uniform(table), "poorer_half", position="valley"),
        ),
    ),
    _toy(
        "T4",
        "the peakier p, the stronger: y* takes all mass, everything else falls (y⁻ in a valley)",
        "stronger",
        _toy_part("change of log p of other labels in the peaky start", "below", _others("peaky")),
        _toy_part("the same minus that in the flat start", "below", _minus(_others("peaky"), _others("flat"))),
        _toy_part(
            "that in the flat start minus that in the uniform start",
            "below",
            _minus(_others("flat"), _others("uniform", "any")),
        ),
        _toy_part("p gained by y* minus p lost by y⁻ in the peaky start", "above", _gain_of_greedy, "probability"),
    ),
    _toy(
        "T5",
        "the less likely y⁻ already is, the stronger; a larger step amplifies it",
        "stronger, and worst in a valley",
        _toy_part("change of log p of other labels, y⁻ in a valley minus y⁻ on the peak", "below", _valley_minus_peak),
        _toy_part("the same in a valley after one step, minus that of the next smaller step", "below", _by_step_size),
    ),
    Claim(
        "M1",
        "Digits: learning one class raises it on images of classes that look alike (4 and 9), as A K G predicts",
        "Fig. 1: the influence matrix is concentrated where classes look alike",
        (
            Part(
                "influence with likeness in pixels",
                "above",
                _correlation("actual", "similarity"),
                unit="rank correlation",
                smallest=0.1,
            ),
            secondary("influence between 4 and 9 minus that on other classes", "above", _between_alike),
            secondary(
                "influence with its prediction by A K G",
                "above",
                _correlation("actual_measured", "predicted"),
                unit="rank correlation",
                smallest=0.1,
            ),
        ),
        study="images_influence",
    ),
)
