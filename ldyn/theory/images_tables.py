"""The tables that `ldyn images` writes: who moved whom, step by step and summed up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ldyn.theory.classifier import CLASSES
from ldyn.theory.images import Course, Split

Array = NDArray[np.float64]


def influence_table(course: Course, split: Split, seed: int) -> pd.DataFrame:
    """One row for each class learned × class observed × label: log π(label | x) of the observed images, in nats.

    ``actual``: its change summed over all steps on the learned class. ``actual_measured``, ``predicted``: the same over
    the measured steps only, as it happened and as A K G has it. ``kernel_norm``: mean ‖K‖_F over these steps.
    ``similarity``: of the two classes, by pixels. All are means over the observed images of a class.
    """
    learned = split.train_labels
    sums = {
        "actual": _sum_by_class(_mean_by_class(course.actual, split), learned),
        "actual_measured": _sum_by_class(
            _mean_by_class(course.actual[course.measured], split), learned[course.measured]
        ),
        "predicted": _sum_by_class(_mean_by_class(course.predicted, split), learned[course.measured]),
    }
    measured = np.bincount(learned[course.measured], minlength=CLASSES)
    norms = _sum_by_class(_mean_by_class(course.kernel_norms[..., None], split), learned[course.measured])[..., 0]
    with np.errstate(invalid="ignore"):  # a class that no measured step learned has no mean: NaN
        norms = norms / measured[:, None]
    classes = range(CLASSES)
    index = pd.MultiIndex.from_product([classes, classes, classes], names=["learned", "observed", "label"])
    table = pd.DataFrame({name: values.ravel() for name, values in sums.items()}, index=index).reset_index()
    return table.assign(
        seed=seed,
        kernel_norm=np.repeat(norms.ravel(), CLASSES),
        similarity=np.repeat(split.similarity.ravel(), CLASSES),
    )


def changes_table(course: Course, split: Split, seed: int) -> pd.DataFrame:
    """One row for each measured step × observed image: the change of log π(learned class | image), in nats.

    ``actual``, ``predicted`` (by A K G), and ``actual_small``: that of a step of a tenth of the learning rate.
    """
    learned = split.train_labels[course.measured]
    images, moments = np.arange(len(split.observed)), np.arange(len(course.measured))
    of_label = np.broadcast_to(learned[:, None, None], (len(moments), len(images), 1))
    columns = {
        "actual": np.take_along_axis(course.actual[course.measured], of_label, axis=2),
        "predicted": np.take_along_axis(course.predicted, of_label, axis=2),
        "actual_small": np.take_along_axis(course.actual_small, of_label, axis=2),
    }
    return pd.DataFrame(
        {
            "seed": seed,
            "step": np.repeat(course.measured, len(images)),
            "learned": np.repeat(learned, len(images)),
            "observed": np.tile(split.observed_labels, len(moments)),
            "image": np.tile(images, len(moments)),
            **{name: values.ravel() for name, values in columns.items()},
        }
    )


def accuracy_table(course: Course, split: Split, seed: int) -> pd.DataFrame:
    """Share of the observed images that are classified rightly, before each measured step and at the end."""
    return pd.DataFrame({"seed": seed, "step": [*course.measured, len(split.train)], "accuracy": course.accuracy})


def _mean_by_class(values: Array, split: Split) -> Array:
    """Means over the observed images of each class: (steps, N, ...) to (steps, 10, ...)."""
    return np.stack([values[:, split.observed_labels == label].mean(axis=1) for label in range(CLASSES)], axis=1)


def _sum_by_class(values: Array, learned: NDArray[np.int64]) -> Array:
    """Sums over the steps that learned each class: (steps, ...) to (10, ...)."""
    return np.stack([values[learned == label].sum(axis=0) for label in range(CLASSES)])


TABLES: Mapping[str, Callable[[Course, Split, int], pd.DataFrame]] = {
    "images_influence": influence_table,
    "images_changes": changes_table,
    "images_accuracy": accuracy_table,
}
"""Name -> how it is made from one seed's course."""
