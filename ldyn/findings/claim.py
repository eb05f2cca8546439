"""What a claim is: a family, and parts that are each claimed to lie above or below a bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ldyn.findings.evidence import Evidence
from ldyn.findings.intervals import Side
from ldyn.records import StageInfo

ALPHA = 0.05
"""Of each family: the chance that any of its claims holds although it is not true."""


@dataclass(frozen=True)
class Family:
    """Claims that share one correction, whether or not all of them were measured; planned ``seeds``."""

    claims: tuple[str, ...]
    seeds: int
    about: str

    @property
    def alpha(self) -> float:
        """One-sided level of each claim (Bonferroni)."""
        return ALPHA / len(self.claims)


FAMILIES = {
    "SFT": Family(("S1", "S2", "S3", "S4", "S5", "S6"), 8, "Fig. 3, from `+exp=dpo_squeeze`"),
    "DPO": Family(("D1", "D2", "D3", "D3b"), 8, "Fig. 4, from `+exp=dpo_squeeze`"),
    "extend": Family(("E1", "E2"), 3, "Fig. 5, from `+exp=extend_wins` or `+exp=extend`"),
    "answers": Family(("E3",), 3, "Table 1, from `+exp=extend_wins`"),
    "conditions": Family(("D4", "O1"), 3, "Appendix and Sec. 4, from `+exp=sft_length` and `+exp=on_policy`"),
    "depth": Family(("D5",), 3, "the theory's prediction, from `+exp=dpo_squeeze` at several `dataset.rejected_ranks`"),
    "one step": Family(("T1", "T2", "T3", "T4", "T5", "M1"), 5, "Fig. 1, 2 and App. E, from `ldyn toy` and `images`"),
    "kernel": Family(("K1",), 3, "App. C, from `+exp=decompose`"),
    "linearity": Family(("K3", "K6"), 3, "what reviewers asked, from `+exp=decompose`"),
    "sanity check": Family(("K2",), 3, "from `+exp=decompose`"),
    "scores": Family(("K4", "K5"), 3, "not in the paper, from `+exp=decompose`"),
    "GRPO": Family(("R1", "R2", "R3", "R4", "R5"), 5, "later papers on reinforcement learning, from `+exp=grpo`"),
}
"""One family for each figure, table or question."""

Values = pd.Series | pd.DataFrame
"""One number for each unit; or units × steps, for a part that ``reduce``s them to one number."""
Measure = Callable[[Evidence], Values | Mapping[str, Values] | None]


@dataclass(frozen=True)
class Part:
    """The mean of ``quantity`` over units, claimed to lie ``claimed`` ``bound``; ``smallest``: effect of interest.

    ``measure`` returns None where the run lacks it, and a mapping where the part stands for several, by name.
    ``each``: what it then stands for, e.g. "each stage".
    ``reduce`` makes one number for each unit of units × steps; over seeds a unit is the mean curve of a seed.
    """

    quantity: str
    claimed: Side
    measure: Measure
    primary: bool = True
    unit: str = "nats"
    bound: float = 0.0
    smallest: float = 1.0
    reduce: Callable[[pd.DataFrame], pd.Series] | None = None
    each: str = ""

    def found_in(self, evidence: Evidence) -> dict[str, tuple[Part, Values]]:
        """Quantity -> the part, or those that it stands for, with its values."""
        values = self.measure(evidence)
        if values is None:
            return {}
        if not isinstance(values, Mapping):
            return {self.quantity: (self, values)}
        named = {f"{self.quantity} {name}": own for name, own in values.items()}
        return {name: (replace(self, quantity=name), own) for name, own in named.items()}

    def over_examples(self, values: Values) -> pd.Series:
        """One number for each unit of a single run."""
        if self.reduce is None:
            assert isinstance(values, pd.Series)
            return values
        assert isinstance(values, pd.DataFrame)
        return self.reduce(values.dropna())

    def over_seeds(self, by_seed: Sequence[Values]) -> pd.Series:
        """One number for each seed."""
        means = [values.mean() if self.reduce is None else values.dropna().mean() for values in by_seed]
        if self.reduce is None:
            return pd.Series(means)
        curves = pd.DataFrame(means).dropna(how="all").dropna(axis=1)  # the steps that all seeds have
        return self.reduce(curves) if curves.shape[1] > 2 else pd.Series(dtype=float)


def secondary(quantity: str, claimed: Side, measure: Measure, **settings: object) -> Part:
    """A part whose verdict is shown and does not decide."""
    return Part(quantity, claimed, measure, primary=False, **settings)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Claim:
    """A claim *holds* by its primary parts; a table shows the numbers of the first.

    paper: what the paper has. stages: those that must have reached their planned end; none of claims about tables.
    study: the table of a study that repeats itself under several seeds. unusable: why a seed's run cannot be used,
    besides stages that stopped early; empty where it can.
    """

    id: str
    text: str
    paper: str
    parts: tuple[Part, ...]
    stages: Callable[[Evidence], Sequence[StageInfo]] = lambda _: ()
    study: str = ""
    note: str = ""
    unusable: Callable[[Evidence], str] = lambda _: ""

    @property
    def family(self) -> str:
        """The name of its family."""
        return next(name for name, family in FAMILIES.items() if self.id in family.claims)

    @property
    def alpha(self) -> float:
        """One-sided level of the claim."""
        return FAMILIES[self.family].alpha

    def measure(self, evidence: Evidence) -> dict[str, tuple[Part, Values]]:
        """Quantity -> part and values; empty where the first part was not measured."""
        found = {name: one for part in self.parts for name, one in part.found_in(evidence).items()}
        return found if self.parts[0].quantity in found else {}

    def study_seeds(self, evidence: Evidence) -> int:
        """Of a study the number of its seeds, else 0."""
        table = evidence.table(self.study) if self.study else None
        return 0 if table is None else int(table["seed"].nunique())
