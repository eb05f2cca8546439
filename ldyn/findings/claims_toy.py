"""Claims T1 to T5: the squeezing effect in a softmax, from the table ``toy`` that `ldyn toy` writes.

The unit that is sampled is a random start (n of them, under several seeds). A *condition* is a size V of the softmax, a
kind of start, a place of y⁻ and a step size; a claim that is made of all conditions is held against the one where it
fares worst. What theory says of each, and where it does not hold, is derived in ``ldyn.theory.squeezing``.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

import pandas as pd

from ldyn.findings.curves import Evidence
from ldyn.findings.intervals import Interval
from ldyn.findings.measurement import Measurement
from ldyn.findings.parts import Part, Side, highest_part, lowest_part

CONDITION = ["labels", "start", "position", "step_size"]
NOT_UNIFORM = ("flat", "peaky")


def rejected_always_falls(evidence: Evidence) -> Measurement | None:
    """T1: a step that lowers y⁻ lowers p(y⁻), always.

    Statistic: Δ log p(y⁻) over one gradient step, (1) the highest mean over all conditions and steps, (2) the highest
    single value: one exception would refute "always", so it is a part of its own, a number without an interval.
    Rule: holds if both are below zero.
    """
    table = evidence.table("toy")
    if table is None:
        return None
    steps = _steps(table, "logp_rejected")
    parts = [
        highest_part("change of log p(y⁻) over one step where it falls least", "below", _named(steps)),
        _extreme("log p(y⁻)", "below", steps),
    ]
    difference = table["closed_form_difference"].max()
    note = f"gradient steps and their closed form differ by at most {difference:.1g} nats in any label's log p"
    return _measurement(table, parts, note)


def greedy_always_rises(evidence: Evidence) -> Measurement | None:
    """T2: a step that lowers y⁻ raises the most likely other label y*, always.

    Statistic and rule as T1's with log p(y*), the lowest in place of the highest, above zero in place of below. Where
    several labels are equally likely (the uniform start) one of them stands for y*; they all change alike.
    """
    table = evidence.table("toy")
    if table is None:
        return None
    steps = _steps(table, "logp_greedy")
    parts = [
        lowest_part("change of log p(y*) over one step where it rises least", "above", _named(steps)),
        _extreme("log p(y*)", "above", steps),
    ]
    return _measurement(table, parts)


def rich_get_richer(evidence: Evidence) -> Measurement | None:
    """T3: labels with higher p tend to rise, those with lower p tend to fall.

    Statistic, over all steps together, in the flat and the peaky start: (1) the rank correlation of p with the change
    of log p over all labels but y⁻, the lowest mean over the conditions; (2) the mean change of log p of the less
    likely half of the labels, y⁻ in a valley, the highest mean over the conditions. Rule: holds if (1) is above zero
    and (2) below. (1) is 1 in theory, less what rounding makes equal. (2) is asked for in a valley only, as theory has
    the poor rise where p(y⁻) > ‖p‖²; the note says what they do with y⁻ on the peak. In the uniform start nothing is
    ranked.
    """
    table = _not_uniform(evidence)
    if table is None:
        return None
    poorer = _changes(table, "poorer_half")
    parts = [
        lowest_part(
            "rank correlation of p with the change of log p where it is lowest",
            "above",
            _named(_last(table, "rank_correlation")),
            "rank correlation",
        ),
        highest_part(
            "change of log p of the less likely half, y⁻ in a valley, where it falls least",
            "below",
            _named(_at(poorer, position="valley")),
        ),
    ]
    note = f"with y⁻ on the peak the less likely half changes by {_range(_at(poorer, position='peak'))} nats"
    return _measurement(table, parts, note)


def peakier_is_stronger(evidence: Evidence) -> Measurement | None:
    """T4: the peakier p is, the stronger: all mass taken goes to y*, everything else falls.

    Statistic, over all steps together, y⁻ in a valley (the paper's case: off-policy, y⁻ is unlikely): the change of
    log p of a typical other label (mean over those that are y⁻ or y* at no position), (1) in the peaky start, (2) less
    that in the flat start, (3) that in the flat start less that in the uniform start, each the highest mean over V and
    step sizes; (4) in the peaky start, what y* gains less what y⁻ loses, in probability, the lowest mean: above zero it
    takes more than all that y⁻ loses. Rule: holds if (1) to (3) are below zero and (4) above.
    """
    table = evidence.table("toy")
    if table is None or table["start"].nunique() < 3:
        return None
    others = _changes(table, "others")
    peaky, flat, uniform = (
        _at(others, start=start, position=place)
        for start, place in (("peaky", "valley"), ("flat", "valley"), ("uniform", "any"))
    )
    gain = _at(_gain_of_greedy(table), start="peaky", position="valley")
    parts = [
        highest_part("change of log p of other labels in the peaky start", "below", _named(peaky)),
        highest_part("the same less that in the flat start", "below", _named(peaky - flat)),
        highest_part("that in the flat start less that in the uniform start", "below", _named(flat - uniform)),
        lowest_part("p gained by y* less p lost by y⁻ in the peaky start", "above", _named(gain), "probability"),
    ]
    peak = _at(others, start="peaky", position="peak")
    return _measurement(table, parts, f"with y⁻ on the peak other labels change by {_range(peak)} nats")


def unlikelier_is_stronger(evidence: Evidence) -> Measurement | None:
    """T5: the smaller p(y⁻) already is, the stronger; a larger step amplifies it.

    Statistic, the change of log p of other labels as in T4, in the flat and the peaky start: (1) after all steps, y⁻ in
    a valley less y⁻ on the peak, the highest mean over the conditions; (2) after one step, y⁻ in a valley, the largest
    difference from one step size to the next larger one. Rule: holds if both are below zero. (1) compares one label
    with itself, as the labels that are y⁻ or y* at any place are left out.
    """
    table = _not_uniform(evidence)
    if table is None or table["step_size"].nunique() < 2:
        return None
    others = _changes(table, "others")
    first = _at(_changes(table[table["step"] <= 1], "others"), position="valley")
    by_size = first.T.groupby(level=["labels", "start"]).diff().T.dropna(axis=1, how="all")
    parts = [
        highest_part(
            "change of log p of other labels, y⁻ in a valley less y⁻ on the peak",
            "below",
            _named(_at(others, position="valley") - _at(others, position="peak")),
        ),
        highest_part(
            "the same after one step, y⁻ in a valley, less that of the next smaller step size", "below", _named(by_size)
        ),
    ]
    return _measurement(table, parts)


def _not_uniform(evidence: Evidence) -> pd.DataFrame | None:
    table = evidence.table("toy")
    return None if table is None else table[table["start"].isin(NOT_UNIFORM)]


def _measurement(table: pd.DataFrame, parts: list[Part], note: str = "") -> Measurement:
    return Measurement(parts, (), note, seeds=int(table["seed"].nunique()))


def _wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Units × (condition, step)."""
    return table.pivot(index="unit", columns=[*CONDITION, "step"], values=column).sort_index(axis=1)


def _steps(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Change over each single step: units × (condition, step)."""
    return _wide(table, column).T.groupby(level=CONDITION).diff().T.dropna(axis=1, how="all")


def _last(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Value after the last step: units × conditions."""
    return _at(_wide(table, column), step=table["step"].max())


def _changes(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Change over all steps: units × conditions."""
    return _last(table, column) - _at(_wide(table, column), step=0)


def _gain_of_greedy(table: pd.DataFrame) -> pd.DataFrame:
    """How much more probability y* gains than y⁻ loses over all steps: units × conditions."""
    probabilities = table.assign(
        rejected=table["logp_rejected"].map(math.exp), greedy=table["logp_greedy"].map(math.exp)
    )
    return _changes(probabilities, "greedy") + _changes(probabilities, "rejected")


def _at(wide: pd.DataFrame, **levels: object) -> pd.DataFrame:
    """The columns with the given levels, without these levels."""
    return pd.DataFrame(wide.xs(tuple(levels.values()), axis=1, level=list(levels)))


def _named(wide: pd.DataFrame) -> pd.DataFrame:
    """The columns' levels in words, as a reason shows them: "V 50, flat start, y⁻ on peak, η' 0.5"."""
    levels = wide.columns.to_frame().to_dict("records")
    return wide.set_axis([_words(of_column) for of_column in levels], axis=1)


_WORDS = {
    "labels": "V {}",
    "start": "{} start",
    "position": "y⁻ at {}",
    "step_size": "step size {:g}",
    "step": "step {}",
}


def _words(levels: Mapping[Hashable, object]) -> str:
    return ", ".join(words.format(levels[name]) for name, words in _WORDS.items() if name in levels)


def _extreme(quantity: str, claimed: Side, steps: pd.DataFrame) -> Part:
    """The single value that lies farthest towards the side that is not claimed."""
    extreme = float(steps.max().max() if claimed == "below" else steps.min().min())
    which = "highest" if claimed == "below" else "lowest"
    interval = Interval(extreme, extreme, extreme, len(steps), "", float(extreme <= 0), float(extreme >= 0))
    return Part(f"the {which} of all {steps.size:,} single changes of {quantity}", claimed, interval)


def _range(wide: pd.DataFrame) -> str:
    """The lowest and the highest mean of the columns, in words."""
    means = wide.mean()
    return f"{means.min():+.3g} to {means.max():+.3g}"
