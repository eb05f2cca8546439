"""Images of handwritten digits: scikit-learn's bundled 8 × 8 ones (no download), or MNIST by ``datasets``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ldyn.data.hub import HubConfig, read_split
from ldyn.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGITS = 10
MNIST = "ylecun/mnist"
_BRIGHTEST = {"digits": 16, "mnist": 255}
"""Of a pixel, in the files."""


@dataclass(frozen=True)
class DigitsConfig:
    """Which images.

    dataset: "digits" (1,797 images of 8 × 8 pixels, part of scikit-learn) or "mnist" (60,000 of 28 × 28, from the hub).
    path: a local copy of MNIST to read instead: a directory of parquet files as on the hub, or one written by
    save_to_disk, with the columns image and label.
    """

    dataset: Literal["digits", "mnist"] = "digits"
    path: str | None = None

    def __post_init__(self) -> None:
        if self.path and self.dataset != "mnist":
            raise ValueError("expected dataset=mnist where path is given; the digits come with scikit-learn")


@dataclass(frozen=True)
class DigitImages:
    """images: (N, height, width), brightness from 0 to 1; labels: (N,), the digit that each shows."""

    images: NDArray[np.float64]
    labels: NDArray[np.int64]

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()


def load_digit_images(config: DigitsConfig) -> DigitImages:
    """Load all images. Raises DataError where they cannot be had or are not images of the ten digits."""
    import numpy as np

    images, labels = _bundled() if config.dataset == "digits" else _mnist(config)
    if images.ndim != 3 or set(np.unique(labels)) != set(range(DIGITS)):
        found = f"images of shape {images.shape[1:]} with labels {sorted(map(int, np.unique(labels)))[:12]}"
        raise DataError(f"{config.path or MNIST}: found {found}, expected grey images with the labels 0 to 9.")
    return DigitImages(images.astype(np.float64) / _BRIGHTEST[config.dataset], labels.astype(np.int64))


def _bundled() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target


def _mnist(config: DigitsConfig) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    import numpy as np

    try:
        rows = read_split(HubConfig(MNIST, path=config.path), "train")
    except DataError as error:
        raise DataError(f"{error} Here the setting is images.path; images.dataset=digits needs no network.") from error
    if not {"image", "label"} <= set(rows.column_names):
        columns = ", ".join(rows.column_names)
        raise DataError(f"{config.path or MNIST} has the columns {columns}; expected image and label.")
    images = [np.asarray(image, dtype=np.uint8) for image in rows["image"]]
    shapes = {image.shape for image in images}
    if len(shapes) != 1:
        raise DataError(f"{config.path or MNIST}: found images of sizes {sorted(shapes)[:4]}, expected one size.")
    return np.stack(images), np.asarray(rows["label"])
