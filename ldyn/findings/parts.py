"""The parts of a claim: numbers claimed to lie above or below zero (or another bound). All must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from ldyn.findings.intervals import Interval, interval_of_highest, interval_over_seeds
from ldyn.records import FAILS, HOLDS, INCONCLUSIVE, MEAN_EXAMPLE

Side = Literal["above", "below"]

MEANS_ONLY = "only the mean over the examples is known"


@dataclass(frozen=True, slots=True)
class Part:
    """``quantity`` with its interval in ``unit``, claimed to be ``above`` or ``below`` ``bound``.

    where: what the quantity was highest of and its measured mean, e.g. "step 40, mean +5.3"; empty for a plain mean.
    measured: that mean as a number, not corrected for the choice (see intervals.py); None for a plain mean.
    """

    quantity: str
    claimed: Side
    interval: Interval
    where: str = ""
    unit: str = "nats"
    bound: float = 0.0
    measured: float | None = None

    @property
    def p_claimed(self) -> float:
        """One-sided p-value of the quantity lying on the claimed side of the bound."""
        return self.interval.p_above if self.claimed == "above" else self.interval.p_below

    @property
    def p_contrary(self) -> float:
        """One-sided p-value of its lying on the other side."""
        return self.interval.p_below if self.claimed == "above" else self.interval.p_above

    @property
    def verdict(self) -> str:
        """HOLDS if the interval lies wholly on the claimed side of the bound, FAILS if wholly on the other."""
        if self.interval.missing:
            return INCONCLUSIVE
        if self.interval.low > self.bound:
            return HOLDS if self.claimed == "above" else FAILS
        if self.interval.high < self.bound:
            return HOLDS if self.claimed == "below" else FAILS
        return INCONCLUSIVE

    @property
    def is_bare_mean(self) -> bool:
        """Whether only a mean over examples is known, and no single example (imported logs)."""
        return self.interval.missing == MEANS_ONLY

    @property
    def is_on_the_claimed_side(self) -> bool:
        """Whether the estimate is, whatever its interval."""
        above = self.interval.estimate > self.bound
        return above if self.claimed == "above" else self.interval.estimate < self.bound

    def __str__(self) -> str:
        name = f"{self.quantity} ({self.where})" if self.where else self.quantity
        if self.interval.missing and not self.is_bare_mean:
            return f"{name}: {self.interval}"
        numbers = f"{self.interval.estimate:+.3g}" if self.is_bare_mean else str(self.interval)
        return f"{name}: {f'{numbers} {self.unit}'.rstrip()}, claimed {self.claimed} {self.bound:g}"


def interval_over_examples(columns: pd.DataFrame, bound: float = 0.0) -> tuple[Interval, int]:
    """The highest of the means of ``columns`` (examples × things compared) with its interval, and which one that is.

    An example without a value (NaN) is ignored in that mean, one without any value in all of them.
    """
    rows = columns.dropna(how="all")
    interval, highest = interval_of_highest(rows.to_numpy(dtype=np.float64), bound)
    return (replace(interval, n=0, missing=MEANS_ONLY) if MEAN_EXAMPLE in rows.index else interval), highest


def mean_part(quantity: str, claimed: Side, values: pd.Series, unit: str = "nats", bound: float = 0.0) -> Part:
    """A claim on the mean of ``values``, one for each example; examples without a value (NaN) are ignored."""
    interval, _ = interval_over_examples(values.to_frame(), bound)
    return Part(quantity, claimed, interval, "", unit, bound)


def seeds_part(quantity: str, claimed: Side, values: pd.Series, unit: str) -> Part:
    """A claim on the mean of ``values``, one for each seed with which a whole experiment was repeated."""
    return Part(quantity, claimed, interval_over_seeds(values.to_numpy(dtype=np.float64)), "", unit)


def highest_part(quantity: str, claimed: Side, columns: pd.DataFrame, unit: str = "nats") -> Part:
    """A claim on the highest of the means of ``columns`` (examples × things compared, named by what they are).

    Claimed "below" it says that every mean lies below zero, claimed "above" that at least one lies above.
    """
    interval, highest = interval_over_examples(columns)
    where, measured = _chosen(columns, highest)
    return Part(quantity, claimed, interval, where, unit, measured=measured)


def lowest_part(quantity: str, claimed: Side, columns: pd.DataFrame, unit: str = "nats") -> Part:
    """The same for the lowest of the means: claimed "above" it says that every mean lies above zero."""
    mirrored, lowest = interval_over_examples(-columns)
    interval = replace(
        mirrored,
        estimate=-mirrored.estimate,
        cross_fitted=-mirrored.cross_fitted,
        low=-mirrored.high,
        high=-mirrored.low,
        p_above=mirrored.p_below,
        p_below=mirrored.p_above,
    )
    where, measured = _chosen(columns, lowest)
    return Part(quantity, claimed, interval, where, unit, measured=measured)


def _chosen(columns: pd.DataFrame, index: int) -> tuple[str, float | None]:
    """The name of the column with its mean, and that mean; nothing where there is no column."""
    if not len(columns.columns):
        return "", None
    mean = float(columns.iloc[:, index].mean())
    return f"{columns.columns[index]}, mean {mean:+.3g}", mean


def joint_verdict(parts: Sequence[Part]) -> str:
    """Intersection-union: HOLDS if every part does, FAILS if any part fails, else INCONCLUSIVE.

    Each part errs with at most 2.5 % on either side. As all must hold, a false HOLDS stays at most that likely however
    many there are (R. Berger, Technometrics 24 (1982) 295); a false FAILS at most 2.5 % times the number of parts.
    """
    verdicts = {part.verdict for part in parts}
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts == {HOLDS} else INCONCLUSIVE


def deciding_parts(parts: Sequence[Part]) -> list[Part]:
    """The parts that make the joint verdict: those that fail, else those undecided, else all."""
    verdict = joint_verdict(parts)
    return [part for part in parts if part.verdict == verdict]
