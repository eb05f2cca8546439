"""Influence between classes: splits, sums and predictions of a short training, against slow loops."""

from __future__ import annotations

import numpy as np
import pytest

from ldyn.data.digits import DigitImages, load_digit_images
from ldyn.errors import DataError
from ldyn.theory.classifier import build_classifier, detached, logps, loss_gradient, stepped
from ldyn.theory.images import Course, Split, influence_table, learn, pixel_similarity, split_images
from ldyn.theory.settings import ImagesConfig

CONFIG = ImagesConfig(steps=25, observed=2, measure_every=4, learning_rate=0.1)


@pytest.fixture(scope="module")
def data() -> DigitImages:
    return load_digit_images()


@pytest.fixture(scope="module")
def split(data: DigitImages) -> Split:
    return split_images(data, CONFIG, 0)


@pytest.fixture(scope="module")
def course(split: Split) -> Course:
    return learn(split, CONFIG, 0)


def test_observed_images_are_held_out_and_of_every_class(split: Split) -> None:
    assert split.observed_labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert split.train.shape == (25, 1, 8, 8)
    observed = {image.numpy().tobytes() for image in split.observed}
    assert not observed & {image.numpy().tobytes() for image in split.train}


def test_more_held_out_images_than_there_are_is_an_error(data: DigitImages) -> None:
    with pytest.raises(DataError, match="found 174 held-out images of each class, but a class has 174"):
        split_images(data, ImagesConfig(observed=174), 0)


def test_likeness_is_the_mean_correlation_over_all_pairs_of_images(data: DigitImages) -> None:
    chosen = np.concatenate([np.flatnonzero(data.labels == label)[:4] for label in range(10)])
    images, labels = data.images[chosen], data.labels[chosen]
    found = pixel_similarity(images, labels)
    for a, b in ((4, 9), (3, 3)):
        pairs = [
            np.corrcoef(one.ravel(), other.ravel())[0, 1]
            for one in images[labels == a]
            for other in images[labels == b]
        ]
        assert found[a, b] == pytest.approx(np.mean(pairs), abs=1e-12)


def test_the_course_is_that_of_plain_gradient_descent(split: Split, course: Course) -> None:
    model = build_classifier(0)
    parameters = detached(model)
    for step in range(25):
        before = logps(model, parameters, split.observed)
        gradient = loss_gradient(model, parameters, split.train[step], int(split.train_labels[step]))
        parameters = stepped(parameters, gradient, 0.1)
        after = logps(model, parameters, split.observed)
        np.testing.assert_allclose(course.actual[step], (after - before).numpy(), atol=1e-12)
    right = after.argmax(dim=1).numpy() == split.observed_labels
    assert course.accuracy == pytest.approx(right.mean())


def test_the_theory_is_held_against_every_fourth_step(course: Course) -> None:
    assert course.measured.tolist() == [0, 4, 8, 12, 16, 20, 24]
    assert np.corrcoef(course.predicted.ravel(), course.actual[course.measured].ravel())[0, 1] > 0.99


def test_influence_is_summed_over_steps_and_averaged_over_images(split: Split, course: Course) -> None:
    table = influence_table(course, split, seed=7).set_index(["learned", "observed", "label"])
    assert len(table) == 1000
    assert set(table["seed"]) == {7}
    for learned, observed, label in ((4, 9, 4), (int(split.train_labels[0]), 1, 2)):
        sums = {"actual": 0.0, "actual_measured": 0.0, "predicted": 0.0}
        for step, of_step in enumerate(split.train_labels):
            for image, of_image in enumerate(split.observed_labels):
                if (of_step, of_image) == (learned, observed):
                    sums["actual"] += course.actual[step, image, label] / 2
                    if step % 4 == 0:
                        sums["actual_measured"] += course.actual[step, image, label] / 2
                        sums["predicted"] += course.predicted[step // 4, image, label] / 2
        row = table.loc[(learned, observed, label)]
        assert {name: row[name] for name in sums} == pytest.approx(sums, abs=1e-12)
        assert row["similarity"] == split.similarity[learned, observed]
