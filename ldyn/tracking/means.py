"""What trackers and the console show of scores: means over examples, by split and probe."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from ldyn.records import PROBE_FAMILIES, ProbeScore, ProbeStep, StageInfo

CHARTED = ("logp", "logp_argmax", "entropy", "p_label")
"""The columns that trackers draw as curves; every column is in the run's trajectory table."""

Means = dict[tuple[str, str], float]


def describe_stage(stage: StageInfo, total_steps: int) -> str:
    """A stage in one line, as "dpo on chosen and rejected, from sft, 400 steps"."""
    return (
        f"{stage.algorithm} on {' and '.join(stage.view) or 'sampled answers'}, from {stage.start}, {total_steps} steps"
    )


def probe_means(scores: Sequence[ProbeScore], column: str) -> Means:
    """(split, probe) -> mean of a column over the examples that have the probe, probes in the paper's order.

    Without those whose logits were not finite; NaN where there are no others.
    """
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for score in scores:
        values[score.split, score.probe].append(getattr(score, column))
    measured = {key: [value for value in found if math.isfinite(value)] for key, found in values.items()}
    means = {key: sum(found) / len(found) if found else math.nan for key, found in measured.items()}
    order = {probe: rank for rank, probe in enumerate(PROBE_FAMILIES)}
    return dict(sorted(means.items(), key=lambda item: (item[0][0], order.get(item[0][1], len(order)), item[0][1])))


class Charts:
    """The points that trackers draw at each probe step; remembers the start of each stage, for the changes since."""

    def __init__(self) -> None:
        self._starts: dict[str, Means] = {}

    def points(self, probe_step: ProbeStep, scores: Sequence[ProbeScore]) -> dict[str, float]:
        """Chart -> value: ``<stage>/<column>/<probe>`` for train probes, ``<stage>/<column>_<split>/…`` for others.

        Columns: CHARTED, and ``logp_change``, log p minus its value at step 0. In both of log p, ``greedy`` is the mass
        of the most likely tokens along the chosen response, as in the figures.
        """
        columns = {column: probe_means(scores, column) for column in CHARTED}
        greedy = {(split, "greedy"): mean for (split, key), mean in columns["logp_argmax"].items() if key == "chosen"}
        columns["logp"] |= greedy
        if probe_step.step == 0:
            self._starts[probe_step.stage] = columns["logp"]
        starts = self._starts.get(probe_step.stage, {})
        columns["logp_change"] = {key: columns["logp"][key] - starts[key] for key in columns["logp"] if key in starts}
        return {
            f"{probe_step.stage}/{column if split == 'train' else f'{column}_{split}'}/{probe}": mean
            for column, means in columns.items()
            for (split, probe), mean in means.items()
        }
