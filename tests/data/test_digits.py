"""Images of digits: scikit-learn's own, and MNIST from a local copy, as no network is to be had in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value

from ldyn.data.digits import DigitsConfig, load_digit_images
from ldyn.errors import DataError


def mnist(labels: list[int], sizes: list[int], columns: tuple[str, str] = ("image", "label")) -> Dataset:
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (size, size), dtype=np.uint8) for size in sizes]
    features = Features({columns[0]: Image(), columns[1]: Value("int64")})
    return Dataset.from_dict({columns[0]: images, columns[1]: labels}, features=features)


LABELS, SIZES = [*range(10), *range(10)], [28] * 20


def test_the_bundled_digits_need_no_download() -> None:
    data = load_digit_images(DigitsConfig())
    assert data.images.shape == (1797, 8, 8)
    assert (data.images.min(), data.images.max()) == (0.0, 1.0)
    assert np.bincount(data.labels).min() == 174
    assert data.fingerprint == load_digit_images(DigitsConfig()).fingerprint


def test_mnist_is_read_from_a_local_copy(tmp_path: Path) -> None:
    rows = mnist(LABELS, SIZES)
    rows.to_parquet(tmp_path / "train-00000-of-00001.parquet")
    data = load_digit_images(DigitsConfig("mnist", str(tmp_path)))
    assert data.images.shape == (20, 28, 28)
    assert data.labels.tolist() == LABELS
    np.testing.assert_array_equal(data.images[3], np.asarray(rows[3]["image"]) / 255)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (mnist(LABELS, SIZES, ("picture", "label")), "has the columns picture, label; expected image and label"),
        (mnist(LABELS, [28] * 19 + [27]), r"found images of sizes \[\(27, 27\), \(28, 28\)\], expected one size"),
        (mnist([1, 2], [28, 28]), r"with labels \[1, 2\], expected grey images with the labels 0 to 9"),
    ],
    ids=["columns", "sizes", "labels"],
)
def test_what_is_not_mnist_is_refused(rows: Dataset, said: str, tmp_path: Path) -> None:
    rows.to_parquet(tmp_path / "train.parquet")
    with pytest.raises(DataError, match=said):
        load_digit_images(DigitsConfig("mnist", str(tmp_path)))


def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach the hub")

    monkeypatch.setattr("datasets.load_dataset", offline)
    with pytest.raises(DataError, match=r"Could not load split 'train' of ylecun/mnist.*images\.dataset=digits"):
        load_digit_images(DigitsConfig("mnist"))
