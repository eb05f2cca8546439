"""Claim M1: influence between classes of images, from the tables that `ldyn images` writes.

The unit is a seed: another split, other weights, another order. The influence matrix M has a row for each class c that
was learned and a column for each class o that was observed: the change of log π(c | x) on held-out images x of class o,
summed over all steps on images of c (``ldyn.theory.images``).
"""

from __future__ import annotations

import pandas as pd

from ldyn.findings.curves import Evidence
from ldyn.findings.measurement import Measurement
from ldyn.findings.parts import seeds_part
from ldyn.numerics.statistics import rank_correlation

ALIKE = (4, 9)
"""The paper's example of two classes that look alike."""


def influence_is_where_classes_look_alike(evidence: Evidence) -> Measurement | None:
    """M1: learning one class raises it on images of classes that look alike, as theory has it.

    Statistic, for each seed, over the 90 pairs of different classes: (1) the rank correlation of M with the likeness of
    the two classes in pixels (the mean correlation between an image of one and an image of the other), which knows
    nothing of the classifier; (2) for the paper's pair, the mean of M[4, 9] and M[9, 4] less the mean of the other
    entries of these two rows that are neither diagonal; (3) over the measured steps, the rank correlation of what
    happened with the accumulated prediction by A K G. Rule: holds if all three means over seeds are above zero. The
    note tells how well single steps are predicted, how alike 4 and 9 are in these images, what learning one class does
    to the *own* class of other images, and the other reading of "learning a 4 raises 9": what becomes of log π(9) on
    images of further classes.
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
        seeds_part("influence between 4 and 9 less that on other classes", "above", _between_the_alike(pairs), "nats"),
        seeds_part(
            "rank correlation of influence with its prediction by A K G",
            "above",
            _rank_correlations(pairs, "actual_measured", "predicted"),
            "rank correlation",
        ),
    ]
    single_steps = _single_steps(evidence.table("images_changes"))
    note = "; ".join([*single_steps, _how_alike(pairs), _interference(table), _other_reading(table)])
    return Measurement(parts, (), note, seeds=int(table["seed"].nunique()))


def _rank_correlations(pairs: pd.DataFrame, one: str, other: str) -> pd.Series:
    """Of two columns over the pairs of each seed."""
    keys = ["learned", "observed"]
    wide = [pairs.pivot(index="seed", columns=keys, values=column) for column in (one, other)]
    return pd.Series(rank_correlation(wide[0].to_numpy(float), wide[1].to_numpy(float)), wide[0].index)


def _between_the_alike(pairs: pd.DataFrame) -> pd.Series:
    """Influence between ALIKE, both ways, less that of each on the eight other classes; one value for each seed."""
    rows = pairs[pairs["learned"].isin(ALIKE)]
    alike = rows["observed"].isin(ALIKE)
    between, others = (rows[chosen].groupby("seed")["actual"].mean() for chosen in (alike, ~alike))
    return between - others


def _single_steps(changes: pd.DataFrame | None) -> list[str]:
    """In words, how well the change of each image in each measured step is predicted: means over seeds."""
    if changes is None:
        return []
    whole, small = (
        changes.groupby("seed")[[column, "predicted"]].apply(_correlation).mean()
        for column in ("actual", "actual_small")
    )
    return [
        f"predicted and actual changes in single steps correlate by {whole:.3f}, at a tenth of the step by {small:.4f}"
    ]


def _correlation(two: pd.DataFrame) -> float:
    return float(two.iloc[:, 0].corr(two.iloc[:, 1]))


def _how_alike(pairs: pd.DataFrame) -> str:
    """Where ALIKE stands among all pairs of classes, by pixels."""
    once = pairs[pairs["learned"] < pairs["observed"]]
    by_pair = once.groupby(["learned", "observed"])["similarity"].mean()
    place = int((by_pair > by_pair[ALIKE]).sum()) + 1
    return f"by likeness {ALIKE[0]} and {ALIKE[1]} are number {place} of {len(by_pair)} pairs of classes"


def _interference(table: pd.DataFrame) -> str:
    """How the change of log π(o | x), the image's own class, goes with likeness: mean over seeds."""
    pairs = table[(table["learned"] != table["observed"]) & (table["label"] == table["observed"])]
    correlation, change = _rank_correlations(pairs, "actual", "similarity").mean(), pairs["actual"].mean()
    return (
        f"on an image's own class learning another has {change:+.3g} nats of influence in the mean, whose rank "
        f"correlation with likeness is {correlation:+.2f}"
    )


def _other_reading(table: pd.DataFrame) -> str:
    """What learning a 4 does to log π(9) on images that are neither: mean over seeds and classes."""
    first, second = ALIKE
    rows = table[(table["learned"] == first) & (table["label"] == second) & ~table["observed"].isin(ALIKE)]
    change = f"{rows['actual'].mean():+.3g} nats in all"
    return f"learning {first} changes log π({second}) on images of the eight other classes by {change}"
