"""`ldyn images`: how a small classifier that learns one digit changes its prediction of others."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ldyn.cli.settings_command import Page, study_command

if TYPE_CHECKING:
    from ldyn.config.studies import ImagesStudy
    from ldyn.run.studies import Study
    from ldyn.store import Run


def main(arguments: Sequence[str]) -> int:
    """Run the study; `--help` explains it."""
    # `dataset=` chooses the data in every other command; there it is a config group, here a setting of the study.
    words = [f"images.{word}" if word.startswith("dataset=") else word for word in arguments]
    return study_command(Page("images", "images"), words, _study)


def _study(composed: DictConfig) -> Run:
    from ldyn.config.loading import load_study_config
    from ldyn.config.studies import ImagesStudy
    from ldyn.run.studies import run_study

    config = load_study_config(ImagesStudy, composed)
    return run_study(config, lambda study: _measure(study, config))


def _measure(study: Study, config: ImagesStudy) -> None:
    import pandas as pd

    from ldyn.data.digits import load_digit_images
    from ldyn.theory.images import image_tables, learn, split_images

    with study.timed("data"):
        data = load_digit_images(config.images)
    study.describe(counts={"images_read": len(data.labels)}, hashes={"data": data.fingerprint})
    parts: dict[str, list[pd.DataFrame]] = {}
    for seed in config.all_seeds:
        with study.timed("learning"):
            split = split_images(data, config.images, seed)
            course = learn(split, config.images, seed)
        print(f"seed {seed}: {course.accuracy[-1]:.0%} of the held-out images correct at the end", file=sys.stderr)
        for name, table in image_tables(course, split, seed).items():
            parts.setdefault(name, []).append(table)
    for name, frames in parts.items():
        study.write_table(name, pd.concat(frames, ignore_index=True))
