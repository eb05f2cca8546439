"""What a figure is drawn from, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure as Canvas

from ldyn.records import StageInfo
from ldyn.report.curves import main_split
from ldyn.store.batch_logs import BATCH_MEANS


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure: file name and PNG, and for the page its title and caption (what is measured, n)."""

    name: str
    picture: bytes
    title: str
    caption: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure before it is written. ``canvas`` is a matplotlib figure."""

    canvas: Canvas
    title: str
    caption: str


@dataclass(frozen=True, slots=True)
class Material:
    """curves: of ``ldyn.report.curves.summarise``; stages: those that have at least one evaluation.

    tables: what the run measured besides its trajectories, see ``Run.tables``. arms: of ``ldyn.report.arms``.
    is_study: whether there are tables only, see ``Run.is_study``.
    name: experiment and run; reference: another run to compare with; unit: what bands are over, if not examples.
    """

    curves: pd.DataFrame
    stages: Sequence[StageInfo]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    arms: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"arm": []}))
    is_study: bool = False
    name: str = "this run"
    reference: Material | None = None
    unit: str = ""
    _drawn: Mapping[tuple[str, str], pd.DataFrame] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find the curves that are drawn once: figures ask for some hundred."""
        rows = self.curves[(self.curves["split"] == self.split) & (self.curves["quantity"] == "logp")]
        object.__setattr__(self, "_drawn", dict(list(rows.groupby(["stage", "probe"]))))

    @property
    def split(self) -> str:
        """The split that is drawn."""
        return main_split(self.curves)

    def curve(self, stage: StageInfo, probe: str) -> pd.DataFrame:
        """log π of one probe over a stage, of the split that is drawn, by ascending step as ``summarise`` has them."""
        return self._drawn.get((stage.name, probe), self.curves.iloc[:0])

    def probes(self, stage: StageInfo) -> set[str]:
        """The probe keys seen in a stage, the greedy curve among them where there is a chosen response."""
        return {probe for name, probe in self._drawn if name == stage.name}

    def n_words(self, stages: Sequence[StageInfo], value: str) -> str:
        """How many examples stand behind the curves, and how the bands were made; value: "level" or "change"."""
        if BATCH_MEANS in self.tables:
            return "Means over the batch of each step: other pairs at every step, so there are no intervals."
        rows = self.curves[self.curves["stage"].isin([stage.name for stage in stages])]
        counts = rows[(rows["split"] == self.split) & (rows["quantity"] == "logp")][f"{value}_n"]
        low, high = (int(counts.min()), int(counts.max())) if len(counts) else (0, 0)
        if high == 0:
            return f"Means over the {self.split} probe examples; the examples, and so intervals, are not known."
        if self.unit:
            return f"Mean over {high} {self.unit}; bands: 95 % t-intervals over them."
        n = f"n = {high}" if low == high else f"n = {low} to {high}"
        if high == 1:
            return f"{n} {self.split} probe example, for which there is no interval."
        pairing = ", paired by example" if value == "change" else ""
        return f"Mean over {n} {self.split} probe examples; bands: 95 % t-intervals{pairing}."
