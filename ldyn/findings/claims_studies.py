"""T1 to T5 and M1: the claims of the two studies, from the tables that `ldyn toy` and `ldyn images` write.

Toy: the unit is a random start (n of them, under several seeds). A *condition* is a size V of the softmax, a kind of
start, a place of y⁻ and a step size; a claim about all conditions is tested on the one where it does worst. The theory
is in ``ldyn.theory.toy``.

Images: the unit is a seed (split, weights, order). The influence matrix M has a row for each class c that was learned
and a column for each class o that was observed: the change of log π(c | x) on held-out images x of class o, summed over
all steps on images of c (``ldyn.theory.images``).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

import pandas as pd

from ldyn.findings.claim import Measurement, claim
from ldyn.findings.curves import Evidence
from ldyn.findings.intervals import Interval
from ldyn.findings.parts import Part, Side, highest_part, lowest_part, seeds_part
from ldyn.numerics.statistics import rank_correlation

CONDITION = ["labels", "start", "position", "step_size"]
NOT_UNIFORM = ("flat", "peaky")
ALIKE = (4, 9)
"""The paper's example of two classes that look alike."""


@claim(
    "T1",
    "Softmax: pushing y⁻ down lowers p(y⁻), always",
    "nats, change of log p(y⁻) where it falls least",
    "Fig. 2, App. E: always",
)
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
    return _measurement(table, parts)


@claim(
    "T2",
    "Softmax: pushing y⁻ down raises the most likely other label y*, always",
    "nats, change of log p(y*) where it rises least",
    "Fig. 2, App. E: always",
)
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


@claim(
    "T3",
    "Softmax: the rich get richer: likely labels tend to rise, unlikely ones to fall",
    "rank correlation of p with its change",
    "Fig. 2, App. E: a tendency, where p is not uniform",
)
def rich_get_richer(evidence: Evidence) -> Measurement | None:
    """T3: labels with higher p tend to rise, those with lower p tend to fall.

    Statistic, over all steps together, in the flat and the peaky start: (1) the rank correlation of p with the change
    of log p over all labels but y⁻, the lowest mean over the conditions; (2) the mean change of log p of the less
    likely half of the labels, y⁻ in a valley, the highest mean over the conditions. Rule: holds if (1) is above zero
    and (2) below. (1) is 1 in theory, up to rounding. (2) is tested in a valley only, as in theory unlikely labels rise
    where p(y⁻) > ‖p‖². The uniform start ranks nothing.
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
    return _measurement(table, parts)


@claim(
    "T4",
    "Softmax: the peakier p, the stronger: y* takes all mass, everything else falls (y⁻ in a valley)",
    "nats, change of other labels in the peaky start",
    "Fig. 2, App. E: stronger",
)
def peakier_is_stronger(evidence: Evidence) -> Measurement | None:
    """T4: the peakier p is, the stronger: all mass taken goes to y*, everything else falls.

    Statistic, over all steps together, y⁻ in a valley (the paper's case: off-policy, y⁻ is unlikely): the change of
    log p of a typical other label (mean over those that are y⁻ or y* at no position), (1) in the peaky start, (2) less
    that in the flat start, (3) that in the flat start minus that in the uniform start, each the highest mean over V and
    step sizes; (4) in the peaky start, what y* gains minus what y⁻ loses, in probability, the lowest mean: above zero
    it takes more than all that y⁻ loses. Rule: holds if (1) to (3) are below zero and (4) above.
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
        highest_part("the same minus that in the flat start", "below", _named(peaky - flat)),
        highest_part("that in the flat start minus that in the uniform start", "below", _named(flat - uniform)),
        lowest_part("p gained by y* minus p lost by y⁻ in the peaky start", "above", _named(gain), "probability"),
    ]
    return _measurement(table, parts)


@claim(
    "T5",
    "Softmax: the less likely y⁻ already is, the stronger; a larger step amplifies it",
    "nats, change of other labels, valley minus peak",
    "Fig. 2, App. E: stronger, and worst in a valley",
)
def unlikelier_is_stronger(evidence: Evidence) -> Measurement | None:
    """T5: the smaller p(y⁻) already is, the stronger; a larger step amplifies it.

    Statistic, the change of log p of other labels as in T4, in the flat and the peaky start: (1) after all steps, y⁻ in
    a valley minus y⁻ on the peak, the highest mean over the conditions; (2) after one step, y⁻ in a valley, the largest
    difference from one step size to the next larger one. Rule: holds if both are below zero. (1) compares one label
    with itself, as the labels that are y⁻ or y* at any place are excluded.
    """
    table = _not_uniform(evidence)
    if table is None or table["step_size"].nunique() < 2:
        return None
    others = _changes(table, "others")
    first = _at(_changes(table[table["step"] <= 1], "others"), position="valley")
    by_size = first.T.groupby(level=["labels", "start"]).diff().T.dropna(axis=1, how="all")
    parts = [
        highest_part(
            "change of log p of other labels, y⁻ in a valley minus y⁻ on the peak",
            "below",
            _named(_at(others, position="valley") - _at(others, position="peak")),
        ),
        highest_part(
            "the same after one step, y⁻ in a valley, minus that of the next smaller step size",
            "below",
            _named(by_size),
        ),
    ]
    return _measurement(table, parts)


def _not_uniform(evidence: Evidence) -> pd.DataFrame | None:
    table = evidence.table("toy")
    return None if table is None else table[table["start"].isin(NOT_UNIFORM)]


def _measurement(table: pd.DataFrame, parts: list[Part]) -> Measurement:
    return Measurement(parts, (), seeds=int(table["seed"].nunique()))


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


@claim(
    "M1",
    "Digits: learning one class raises it on images of classes that look alike (4 and 9), as A K G predicts",
    "rank correlation of influence with likeness",
    "Fig. 1: the influence matrix is concentrated where classes look alike",
)
def influence_is_where_classes_look_alike(evidence: Evidence) -> Measurement | None:
    """M1: learning one class raises it on images of classes that look alike, as theory has it.

    Statistic, for each seed, over the 90 pairs of different classes: (1) the rank correlation of M with the likeness of
    the two classes in pixels (the mean correlation between an image of one and an image of the other), which knows
    nothing of the classifier; (2) for the paper's pair, the mean of M[4, 9] and M[9, 4] minus the mean of the other
    off-diagonal entries of these two rows; (3) over the measured steps, the rank correlation of the actual changes with
    the accumulated prediction by A K G. Rule: holds if all three means over seeds are above zero. The note says how
    alike 4 and 9 are in these images.
    """
    table = evidence.table("images_influence")
    if table is None:
        return None
    pairs = table[(table["learned"] != table["observed"]) & (table["label"] == table["learned"])]
    parts = [
        seeds_part(
            "rank correlation of influence with likeness in pixels",
            "above",
            _rank_correlations(pairs, "actual", "similarity"),
            "rank correlation",
        ),
        seeds_part("influence between 4 and 9 minus that on other classes", "above", _between_the_alike(pairs), "nats"),
        seeds_part(
            "rank correlation of influence with its prediction by A K G",
            "above",
            _rank_correlations(pairs, "actual_measured", "predicted"),
            "rank correlation",
        ),
    ]
    return Measurement(parts, (), _how_alike(pairs), seeds=int(table["seed"].nunique()))


def _rank_correlations(pairs: pd.DataFrame, one: str, other: str) -> pd.Series:
    """Of two columns over the pairs of each seed."""
    keys = ["learned", "observed"]
    wide = [pairs.pivot(index="seed", columns=keys, values=column) for column in (one, other)]
    return pd.Series(rank_correlation(wide[0].to_numpy(float), wide[1].to_numpy(float)), wide[0].index)


def _between_the_alike(pairs: pd.DataFrame) -> pd.Series:
    """Influence between ALIKE, both ways, minus that of each on the eight other classes; one value for each seed."""
    rows = pairs[pairs["learned"].isin(ALIKE)]
    alike = rows["observed"].isin(ALIKE)
    between, others = (rows[chosen].groupby("seed")["actual"].mean() for chosen in (alike, ~alike))
    return between - others


def _how_alike(pairs: pd.DataFrame) -> str:
    """Where ALIKE stands among all pairs of classes, by pixels."""
    once = pairs[pairs["learned"] < pairs["observed"]]
    by_pair = once.groupby(["learned", "observed"])["similarity"].mean()
    place = int((by_pair > by_pair[ALIKE]).sum()) + 1
    return f"by likeness {ALIKE[0]} and {ALIKE[1]} are number {place} of {len(by_pair)} pairs of classes"
