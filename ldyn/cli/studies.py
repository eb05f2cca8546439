"""`ldyn toy`, `ldyn images` and `ldyn decompose`: studies, which make a run directory without training stages."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig

from ldyn.cli.hydra_jobs import run_jobs
from ldyn.cli.settings_command import Page, settings_listed

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ldyn.config.studies import ImagesStudy
    from ldyn.run.studies import Study
    from ldyn.store import Run

SWEEP_FLAG = "  -m, --multirun         a sweep: one run for each combination of comma-separated values, seed=0,1,2"


def study(name: str, arguments: Sequence[str]) -> int:
    """Print the help page of a study, or compose its YAML file, run it and print the findings."""
    if {"-h", "--help"} & set(arguments):
        print(f"{Page(name, name).text()}{SWEEP_FLAG}")
        if name == "decompose":
            print(f"\ndecompose.<key>=...:\n{settings_listed('decompose/default')}")
        return 0

    def job(composed: DictConfig) -> None:
        run = {"toy": _toy, "images": _images, "decompose": _decompose}[name](composed)

        from ldyn.run.conclusion import print_results

        print_results(run)

    return run_jobs(name, arguments, job)


def _toy(composed: DictConfig) -> Run:
    from ldyn.config.loading import load_study_config
    from ldyn.config.studies import ToyStudy
    from ldyn.run.studies import run_study
    from ldyn.theory.toy import distributions_table, toy_table

    config = load_study_config(ToyStudy, composed)

    def measure(study: Study) -> None:
        with study.timed("gradient steps"):
            study.write_table("toy", toy_table(config.toy, config.all_seeds))
            study.write_table("toy_distributions", distributions_table(config.toy, config.seed))

    return run_study(config, measure)


def _images(composed: DictConfig) -> Run:
    from ldyn.config.loading import load_study_config
    from ldyn.config.studies import ImagesStudy
    from ldyn.run.studies import run_study

    config = load_study_config(ImagesStudy, composed)
    return run_study(config, lambda study: _measure_images(study, config))


def _measure_images(study: Study, config: ImagesStudy) -> None:
    import pandas as pd

    from ldyn.data.digits import load_digit_images
    from ldyn.theory.images import influence_table, learn, split_images

    with study.timed("data"):
        data = load_digit_images()
    study.describe(counts={"images_read": len(data.labels)}, hashes={"data": data.fingerprint})
    tables = []
    for seed in config.all_seeds:
        with study.timed("learning"):
            split = split_images(data, config.images, seed)
            course = learn(split, config.images, seed)
        print(f"seed {seed}: {course.accuracy:.0%} of the held-out images correct at the end", file=sys.stderr)
        tables.append(influence_table(course, split, seed))
    study.write_table("images_influence", pd.concat(tables, ignore_index=True))


def _decompose(composed: DictConfig) -> Run:
    from ldyn.config.studies import decompose_config

    config = decompose_config(composed, list(HydraConfig.get().overrides.task))

    from ldyn.run.decomposition import decompose_study

    return decompose_study(config)
