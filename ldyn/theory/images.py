"""What `ldyn images` measures: who moves whom while a small classifier learns handwritten digits, one image at a time.

Every step is gradient descent on one training image of class c (*learned*). Before and after it the classifier is
asked about held-out images of every class (*observed*). The accumulated influence of learning c on class o is the
change of log π(c | x), the log-probability that the observed image shows what was learned, summed over all steps on
images of c and averaged over the observed images x of class o. At every ``measure_every``-th step the theory's
prediction of the same change is computed as well, with exact kernels (``ldyn.theory.classifier``), and what a step
of a tenth of the learning rate would have done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt
from numpy.typing import NDArray
from torch import Tensor, nn

from ldyn.data.digits import DigitImages, DigitsConfig
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

SMALL_STEP = 0.1
"""Of the learning rate, for the step that is only tried."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ImagesConfig(DigitsConfig):
    """How the classifier learns and what is watched.

    steps: of plain gradient descent, one image each; observed: held-out images of each class; measure_every: the theory
    is held against every so many-th step, the first one included.
    """

    steps: Annotated[int, Gt(0)] = 1000
    learning_rate: Annotated[float, Gt(0)] = 0.05
    observed: Annotated[int, Gt(0)] = 5
    measure_every: Annotated[int, Ge(1)] = 20


@dataclass(frozen=True)
class Split:
    """Images as the classifier takes them, (N, 1, height, width), with their labels, (N,).

    train: one image for each step, in the order of the steps. observed: held out. similarity: between the classes, by
    pixels of all images that are not held out, (10, 10).
    """

    train: Tensor
    train_labels: NDArray[np.int64]
    observed: Tensor
    observed_labels: NDArray[np.int64]
    similarity: Array


@dataclass(frozen=True)
class Course:
    """One training: S steps, of which M were measured, seen by N observed images; changes of log π in nats.

    actual: (S, N, V). measured: (M,), which steps. predicted: (M, N, V). actual_small: (M, N, V), what a step of
    SMALL_STEP times the learning rate would have done. kernel_norms: (M, N), ‖K(x_o, x_u)‖_F. accuracy: (M + 1,), on
    the observed images before each measured step and at the end.
    """

    actual: Array
    measured: NDArray[np.int64]
    predicted: Array
    actual_small: Array
    kernel_norms: Array
    accuracy: Array


def split_images(data: DigitImages, config: ImagesConfig, seed: int) -> Split:
    """Hold out ``config.observed`` images of each class, the rest trains, once or several times in a new order.

    Raises DataError where a class has too few images.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(data.labels))
    by_class = [shuffled[data.labels[shuffled] == label] for label in range(CLASSES)]
    if (fewest := min(map(len, by_class))) <= config.observed:
        what = f"A class has {fewest} images, and {config.observed} of each are held out (images.observed)"
        raise DataError(f"{what}; expected more than that: choose a smaller images.observed.")
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


def _as_input(data: DigitImages, chosen: NDArray[np.int64]) -> Tensor:
    standardised = (data.images[chosen] - data.images.mean()) / data.images.std()
    return torch.from_numpy(standardised)[:, None]


def pixel_similarity(images: Array, labels: NDArray[np.int64]) -> Array:
    """How alike two classes look: the correlation of pixels between an image of one and one of the other, (10, 10).

    The mean over all pairs. With each image less its mean and divided by its norm, that is the inner product of the
    classes' mean images.
    """
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    means = np.stack([flat[labels == label].mean(axis=0) for label in range(CLASSES)])
    similarity: Array = means @ means.T
    return similarity


def learn(split: Split, config: ImagesConfig, seed: int) -> Course:
    """Train a fresh classifier on one image after another, watching the observed ones."""
    model = build_classifier(seed)
    parameters = detached(model)
    before, actual, measured = logps(model, parameters, split.observed), [], []
    accuracy = []
    for step, (image, label) in enumerate(zip(split.train, split.train_labels.tolist(), strict=True)):
        gradient = loss_gradient(model, parameters, image, label)
        if step % config.measure_every == 0:
            measured.append(_measure(model, parameters, gradient, before, image, label, split, config))
            accuracy.append(_accuracy(before, split))
        parameters = stepped(parameters, gradient, config.learning_rate)
        after = logps(model, parameters, split.observed)
        actual.append((after - before).numpy())
        before = after
    predicted, actual_small, kernel_norms = (np.stack(values) for values in zip(*measured, strict=True))
    steps = np.arange(0, config.steps, config.measure_every)
    return Course(
        np.stack(actual), steps, predicted, actual_small, kernel_norms, np.array([*accuracy, _accuracy(before, split)])
    )


def _measure(
    model: nn.Module,
    parameters: dict[str, Tensor],
    gradient: dict[str, Tensor],
    before: Tensor,
    image: Tensor,
    label: int,
    split: Split,
    config: ImagesConfig,
) -> tuple[Array, Array, Array]:
    """The predicted change, the actual one of a small step, and the kernels' norms: (N, V), (N, V), (N,)."""
    observed = logit_jacobians(model, parameters, split.observed)
    [updated] = logit_jacobians(model, parameters, image[None])
    kernels = kernel_blocks(observed, updated)
    [updated_logps] = logps(model, parameters, image[None])
    predicted = config.learning_rate * predicted_change(before, kernels, updated_logps, label)
    small = stepped(parameters, gradient, SMALL_STEP * config.learning_rate)
    actual_small = logps(model, small, split.observed) - before
    return predicted.numpy(), actual_small.numpy(), torch.linalg.matrix_norm(kernels).numpy()


def _accuracy(observed_logps: Tensor, split: Split) -> float:
    return float((observed_logps.argmax(dim=-1).numpy() == split.observed_labels).mean())
