"""`ldyn images`: how learning one image of a digit changes the prediction for other images.

Every step is gradient descent on one training image of class c (*learned*). Before and after it the classifier predicts
held-out images of every class (*observed*). The influence of learning c on class o is the change of log π(c | x),
summed over all steps on images of c and averaged over the observed images x of class o. At every
``measure_every``-th step the theory's prediction of the change is computed with exact kernels
(``ldyn.theory.classifier``).

Shapes: S steps, of which M are measured; O observed images; V classes. Changes of log π are in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldyn.data.digits import DigitImages
from ldyn.errors import DataError
from ldyn.theory.classifier import (
    CLASSES,
    build_classifier,
    detached,
    kernel_blocks,
    logit_jacobians,
    logps,
    loss_gradient,
    predicted_change,
    stepped,
)
from ldyn.theory.settings import ImagesConfig

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Images as the classifier takes them, [., 1, height, width], with their labels.

    train: one image for each step, in the order of the steps. observed: held out. similarity: between the classes, by
    pixels of all images that are not held out, [V, V].
    """

    train: Tensor
    train_labels: Labels
    observed: Tensor
    observed_labels: Labels
    similarity: Array


@dataclass(frozen=True)
class Course:
    """One training. actual: [S, O, V]. measured: [M], the steps. predicted: [M, O, V].

    accuracy: on the observed images at the end.
    """

    actual: Array
    measured: Labels
    predicted: Array
    accuracy: float


def split_images(data: DigitImages, config: ImagesConfig, seed: int) -> Split:
    """Hold out ``config.observed`` images of each class; train on the rest, in a new order for every epoch.

    Raises DataError if a class has too few images.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(data.labels))
    by_class = [shuffled[data.labels[shuffled] == label] for label in range(CLASSES)]
    if (fewest := min(map(len, by_class))) <= config.observed:
        raise DataError(
            f"images.observed: found {config.observed} held-out images of each class, but a class has {fewest} images; "
            "choose a smaller number."
        )
    observed = np.concatenate([members[: config.observed] for members in by_class])
    rest = np.setdiff1d(shuffled, observed)
    epochs = -(-config.steps // len(rest))
    order = np.concatenate([random.permutation(rest) for _ in range(epochs)])[: config.steps]
    return Split(
        _as_input(data, order),
        data.labels[order],
        _as_input(data, observed),
        data.labels[observed],
        pixel_similarity(data.images[rest], data.labels[rest]),
    )


def _as_input(data: DigitImages, chosen: Labels) -> Tensor:
    standardised = (data.images[chosen] - data.images.mean()) / data.images.std()
    return torch.from_numpy(standardised)[:, None]


def pixel_similarity(images: Array, labels: Labels) -> Array:
    """Mean pixel correlation over all pairs of an image of one class and one of another, [V, V].

    With each image centred and divided by its norm, that is the inner product of the classes' mean images.
    """
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    means = np.stack([flat[labels == label].mean(axis=0) for label in range(CLASSES)])
    similarity: Array = means @ means.T
    return similarity


def learn(split: Split, config: ImagesConfig, seed: int) -> Course:
    """Train a new classifier on one image after another and observe the held-out ones."""
    model = build_classifier(seed)
    parameters = detached(model)
    before, actual = logps(model, parameters, split.observed), []
    predicted = []
    for step, (image, label) in enumerate(zip(split.train, split.train_labels.tolist(), strict=True)):
        gradient = loss_gradient(model, parameters, image, label)
        if step % config.measure_every == 0:
            [jacobian] = logit_jacobians(model, parameters, image[None])
            kernels = kernel_blocks(logit_jacobians(model, parameters, split.observed), jacobian)
            change = predicted_change(before, kernels, logps(model, parameters, image[None])[0], label)
            predicted.append((config.learning_rate * change).numpy())
        parameters = stepped(parameters, gradient, config.learning_rate)
        after = logps(model, parameters, split.observed)
        actual.append((after - before).numpy())
        before = after
    accuracy = float((before.argmax(dim=-1).numpy() == split.observed_labels).mean())
    steps = np.arange(0, config.steps, config.measure_every)
    return Course(np.stack(actual), steps, np.stack(predicted), accuracy)


def influence_table(course: Course, split: Split, seed: int) -> pd.DataFrame:
    """One row for each class learned × class observed × label: log π(label | x) of the observed images, in nats.

    ``actual``: its change summed over all steps on the learned class. ``actual_measured``, ``predicted``: summed over
    the measured steps only, actual and predicted. ``similarity``: of the two classes, by pixels. All are means over
    the observed images of a class.
    """
    learned = split.train_labels[course.measured]
    sums = {
        "actual": _summed(course.actual, split.train_labels, split),
        "actual_measured": _summed(course.actual[course.measured], learned, split),
        "predicted": _summed(course.predicted, learned, split),
    }
    index = pd.MultiIndex.from_product([range(CLASSES)] * 3, names=["learned", "observed", "label"])
    table = pd.DataFrame({name: values.ravel() for name, values in sums.items()}, index=index).reset_index()
    return table.assign(seed=seed, similarity=np.repeat(split.similarity.ravel(), CLASSES))


def _summed(values: Array, learned: Labels, split: Split) -> Array:
    """Means over the observed images of a class, summed over the steps that learned a class: [., O, .] to [V, V, .]."""
    means = np.stack([values[:, split.observed_labels == label].mean(axis=1) for label in range(CLASSES)], axis=1)
    return np.stack([means[learned == label].sum(axis=0) for label in range(CLASSES)])
