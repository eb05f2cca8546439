"""What `ldyn toy` measures: the squeezing effect (``ldyn.theory.squeezing``) on many random starts.

A start is V standard normal numbers; times 0 they are the logits of the *uniform* start, times ``flat`` and ``peaky``
those of the other two, so that the three differ in peakiness alone. Labels are numbered by their logit, the most likely
first (a softmax does not know their names): y⁻ is label 0 (on a *peak*) or the label at the quantile ``valley`` of all
(in a *valley*), y* is then label 1 or label 0. In the uniform start both positions are one, called *any*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated

import numpy as np
import pandas as pd
from annotated_types import Ge, Gt, Le, MinLen
from numpy.typing import NDArray

from ldyn.numerics.statistics import rank_correlation
from ldyn.theory.squeezing import squeeze

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ToyConfig:
    """Which starts, and how they are pushed.

    labels: sizes V of the softmax. starts: random starts for each seed and V.
    flat, peaky: factors on standard normal logits; valley: y⁻ is more likely than this share of all labels.
    step_sizes: η', ascending; steps: gradient steps in a row.
    """

    labels: Annotated[tuple[Annotated[int, Ge(10)], ...], MinLen(1)] = (50, 1000)
    starts: Annotated[int, Ge(1)] = 20
    flat: Annotated[float, Gt(0)] = 1.0
    peaky: Annotated[float, Gt(0)] = 5.0
    valley: Annotated[float, Gt(0), Le(0.5)] = 0.1
    step_sizes: Annotated[tuple[Annotated[float, Gt(0)], ...], MinLen(2)] = (0.1, 0.5, 2.0)
    steps: Annotated[int, Ge(1)] = 5

    def __post_init__(self) -> None:
        if self.peaky <= self.flat:
            raise ValueError(f"expected peaky above flat; it is {self.peaky:g}, flat is {self.flat:g}")
        if list(self.step_sizes) != sorted(set(self.step_sizes)):
            raise ValueError("expected step_sizes in ascending order, each once")


@dataclass(frozen=True)
class Condition:
    """One kind of start (``spread`` is the factor on its logits) with y⁻ at one place."""

    start: str
    spread: float
    position: str
    rejected: int
    greedy: int


def conditions(config: ToyConfig, labels: int) -> list[Condition]:
    """The starts and positions of a softmax over ``labels`` labels: the uniform one, then flat and peaky."""
    valley = valley_label(config, labels)
    spreads = {"flat": config.flat, "peaky": config.peaky}
    places = [("peak", 0, 1), ("valley", valley, 0)]
    return [
        Condition("uniform", 0.0, "any", valley, 0),
        *(Condition(start, spread, *place) for start, spread in spreads.items() for place in places),
    ]


def valley_label(config: ToyConfig, labels: int) -> int:
    """The label that is y⁻ in a valley."""
    return round((1 - config.valley) * (labels - 1))


def random_logits(seed: int, labels: int, starts: int) -> Array:
    """(starts, labels) standard normal numbers, each row in descending order."""
    drawn = np.random.default_rng([seed, labels]).standard_normal((starts, labels))
    return -np.sort(-drawn, axis=1)


def toy_table(config: ToyConfig, seeds: Sequence[int]) -> pd.DataFrame:
    """One row for each start × condition × step size × step (0 = before the first). Logarithms in nats.

    ``unit`` names a random start, the unit that claims are sampled over. ``logp_rejected``, ``logp_greedy``: log p of
    y⁻ and y*. ``others``: mean log p of the bystanders, the labels that are y⁻ or y* at no position; ``poorer_half``:
    the same of those that were the less likely half of them. ``rank_correlation``: of log p before the first step with
    its change since, over all labels but y⁻ (NaN at step 0 and where all are alike). ``closed_form_difference``: the
    largest difference in log p between this step and its closed form.
    """
    return pd.concat(_blocks(config, seeds), ignore_index=True)


def _blocks(config: ToyConfig, seeds: Sequence[int]) -> Iterator[pd.DataFrame]:
    for seed, labels in product(seeds, config.labels):
        drawn = random_logits(seed, labels, config.starts)
        bystanders = np.setdiff1d(np.arange(labels), [0, 1, valley_label(config, labels)])
        for condition, step_size in product(conditions(config, labels), config.step_sizes):
            course, differences = squeeze(condition.spread * drawn, condition.rejected, step_size, config.steps)
            block = _block(condition, course, differences, bystanders)
            yield block.assign(seed=seed, step_size=step_size, unit=f"{seed}-" + block["unit"])


def _block(condition: Condition, course: Array, differences: Array, bystanders: NDArray[np.int64]) -> pd.DataFrame:
    """The rows of one condition. course: (steps + 1, N, V); differences: (steps, N)."""
    moments, starts, labels = course.shape
    ranked = np.delete(course, condition.rejected, axis=2)
    correlations = [rank_correlation(ranked[0], now - ranked[0]) for now in ranked]
    columns = {
        "labels": labels,
        "start": condition.start,
        "position": condition.position,
        "step": np.repeat(np.arange(moments), starts),
        "unit": [str(number) for number in range(starts)] * moments,
        "logp_rejected": course[:, :, condition.rejected].ravel(),
        "logp_greedy": course[:, :, condition.greedy].ravel(),
        "others": course[:, :, bystanders].mean(axis=2).ravel(),
        "poorer_half": course[:, :, bystanders[len(bystanders) // 2 :]].mean(axis=2).ravel(),
        "rank_correlation": np.concatenate(correlations),
        "closed_form_difference": np.concatenate([np.zeros(starts), differences.ravel()]),
    }
    return pd.DataFrame(columns)


def distributions_table(config: ToyConfig, seed: int) -> pd.DataFrame:
    """Whole distributions before the first and after the last step, of the first start of the smallest softmax.

    One row for each condition × label: ``before``, ``after`` (log p, nats), ``is_rejected``, ``is_greedy``. Made with
    the middle one of the step sizes.
    """
    labels, step_size = min(config.labels), config.step_sizes[len(config.step_sizes) // 2]
    drawn = random_logits(seed, labels, config.starts)[:1]
    frames = []
    for condition in conditions(config, labels):
        course, _ = squeeze(condition.spread * drawn, condition.rejected, step_size, config.steps)
        columns = {
            "start": condition.start,
            "position": condition.position,
            "step_size": step_size,
            "steps": config.steps,
            "label": np.arange(labels),
            "before": course[0, 0],
            "after": course[-1, 0],
            "is_rejected": np.arange(labels) == condition.rejected,
            "is_greedy": np.arange(labels) == condition.greedy,
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)
