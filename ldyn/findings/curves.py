"""What claims are computed from: the curves of one run's train probes, and the run's other tables.

All claims of the paper are about responses to *training* questions, so no verdict uses the test split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ldyn.records import StageInfo

SPLIT = "train"


@dataclass(frozen=True)
class Curve:
    """One quantity of one probe over one stage. values: examples × steps (ascending), nats."""

    values: pd.DataFrame

    @property
    def steps(self) -> list[int]:
        """The steps at which the probe was scored."""
        return [int(step) for step in self.values.columns]

    @property
    def first(self) -> pd.Series:
        """The value of each example before the first update."""
        return self.values.iloc[:, 0]

    @property
    def last(self) -> pd.Series:
        """The value of each example at the last evaluation."""
        return self.values.iloc[:, -1]

    @property
    def change(self) -> pd.Series:
        """Last minus first; NaN for an example that lacks either."""
        return self.last - self.first

    @property
    def course(self) -> str:
        """First and last mean, over the examples that have both."""
        both = pd.DataFrame({"first": self.first, "last": self.last}).dropna().mean()
        return f"from {both['first']:.1f} to {both['last']:.1f}"

    def whole(self) -> pd.DataFrame:
        """The examples that were scored at every step."""
        return self.values.dropna()


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
        self._frames = dict(list(train.groupby(["stage", "probe"], sort=False, observed=True)))
        by_stage = trajectories.groupby("stage", observed=True)
        seen = by_stage["examples_seen"].max() - by_stage["examples_seen"].min()
        self._seen = {str(stage): int(count) for stage, count in seen.items()}
        self._steps = {str(stage): int(step) for stage, step in by_stage["step"].max().items()}
        self._planned, self._tables = planned_steps, tables
        self.stages = tuple(stages)

    def curve(self, stage: StageInfo, probe: str, column: str = "logp") -> Curve | None:
        """The curve of ``column`` of ``probe`` over ``stage``; None where it was measured at fewer than two steps."""
        frame = self._frames.get((stage.name, probe))
        if frame is None or frame[column].isna().all():
            return None
        values = frame.pivot(index="example_id", columns="step", values=column).sort_index(axis=1)
        return Curve(values) if values.shape[1] > 1 else None

    def table(self, name: str) -> pd.DataFrame | None:
        """The table ``<name>.parquet`` of the run; None where it has none or an empty one."""
        frame = self._tables.get(name)
        return frame if frame is not None and len(frame) else None

    def probes(self, stage: StageInfo) -> list[str]:
        """The probes observed in ``stage``, in the order of the table."""
        return [str(probe) for name, probe in self._frames if name == stage.name]

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
