"""Images of handwritten digits: scikit-learn's bundled 8 × 8 ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGITS = 10
BRIGHTEST = 16
"""Of a pixel, in the files."""


@dataclass(frozen=True)
class DigitImages:
    """images: (N, height, width), brightness from 0 to 1; labels: (N,), the digit that each shows."""

    images: NDArray[np.float64]
    labels: NDArray[np.int64]

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()


def load_digit_images() -> DigitImages:
    """The 1,797 images that are part of scikit-learn."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    return DigitImages(digits.images.astype(np.float64) / BRIGHTEST, digits.target.astype(np.int64))
