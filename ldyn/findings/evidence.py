"""What claims are computed from: the curves of one run's train probes, and the run's other tables.

All claims of the paper are about responses to *training* questions, so no verdict uses the test split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ldyn.records import StageInfo

SPLIT = "train"


@dataclass(frozen=True)
class Curve:
    """One quantity of one probe over one stage. values: examples × steps (ascending), nats."""

    values: pd.DataFrame

    @property
    def first(self) -> pd.Series:
        """The value of each example before the first update."""
        return self.values.iloc[:, 0]

    @property
    def last(self) -> pd.Series:
        """The value of each example at the last evaluation."""
        return self.values.iloc[:, -1]

    @cached_property
    def change(self) -> pd.Series:
        """Last minus first; NaN for an example that lacks either."""
        return self.last - self.first

    @property
    def second_half(self) -> pd.Series:
        """The change from the evaluation nearest to the middle of the stage to the last."""
        steps = self.values.columns.to_numpy()
        return self.last - self.values.iloc[:, int(np.abs(steps - steps[-1] / 2).argmin())]


class Evidence:
    """The curves of one run by stage and probe, and its other tables by name; None for what was not measured."""

    def __init__(
        self,
        trajectories: pd.DataFrame,
        stages: Sequence[StageInfo],
        planned_steps: Mapping[str, int],
        tables: Mapping[str, pd.DataFrame],
    ):
        train = trajectories[trajectories["split"] == SPLIT]
        self._curves: dict[tuple[str, str, str], Curve | None] = {}
        self._frames = dict(list(train.groupby(["stage", "probe"], sort=False, observed=True)))
        by_stage = trajectories.groupby("stage", observed=True)
        seen = by_stage["examples_seen"].max() - by_stage["examples_seen"].min()
        self._seen = {str(stage): int(count) for stage, count in seen.items()}
        self._steps = {str(stage): int(step) for stage, step in by_stage["step"].max().items()}
        self._planned, self._tables = planned_steps, tables
        self.stages = tuple(stages)

    def curve(self, stage: StageInfo, probe: str, column: str = "logp") -> Curve | None:
        """The curve of ``column`` of ``probe`` over ``stage``; None where it was measured at fewer than two steps."""
        key = (stage.name, probe, column)
        if key not in self._curves:
            frame, self._curves[key] = self._frames.get(key[:2]), None
            if frame is not None and frame[column].notna().any():
                values = frame.pivot(index="example_id", columns="step", values=column).sort_index(axis=1)
                self._curves[key] = Curve(values) if values.shape[1] > 1 else None
        return self._curves[key]

    def table(self, name: str) -> pd.DataFrame | None:
        """The table ``<name>.parquet`` of the run; None where it has none or an empty one."""
        frame = self._tables.get(name)
        return frame if frame is not None and len(frame) else None

    def probes(self, stage: StageInfo) -> list[str]:
        """The probes observed in ``stage``, in the order of the table."""
        return [str(probe) for name, probe in self._frames if name == stage.name]

    def changes(self, stage: StageInfo) -> pd.DataFrame:
        """Change of log π over ``stage``, last minus first: examples × observed probes; NaN where one is missing."""
        curves = {probe: self.curve(stage, probe) for probe in self.probes(stage)}
        return pd.DataFrame({probe: curve.change for probe, curve in curves.items() if curve is not None})

    def has_begun(self, stage: StageInfo) -> bool:
        """Whether ``stage`` was scored after at least one update."""
        return self._steps.get(stage.name, 0) > 0

    def intended_updates(self, stage: StageInfo) -> int:
        """Number of updates that ``stage`` makes when it runs to its end."""
        return self._planned.get(stage.name) or self._steps[stage.name]

    def examples_seen(self, stage: StageInfo) -> int:
        """Number of training examples that went through ``stage``."""
        return self._seen[stage.name]

    def shortfall(self, stage: StageInfo) -> str:
        """How far ``stage`` is from its planned end; empty where it is complete or the plan is not known."""
        planned, made = self.intended_updates(stage), self._steps[stage.name]
        return f"stage {stage.name} stopped at step {made} of {planned}" if made < planned else ""
