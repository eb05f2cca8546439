"""`ldyn toy`: the squeezing effect in a bare softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ldyn.cli.settings_command import Page, study_command

if TYPE_CHECKING:
    from ldyn.store import Run


def main(arguments: Sequence[str]) -> int:
    """Run the study; `--help` explains it."""
    return study_command(Page("toy", "toy"), arguments, _study)


def _study(composed: DictConfig) -> Run:
    from ldyn.config.loading import load_study_config
    from ldyn.config.studies import ToyStudy
    from ldyn.run.studies import Study, run_study
    from ldyn.theory.toy import distributions_table, toy_table

    config = load_study_config(ToyStudy, composed)

    def measure(study: Study) -> None:
        with study.timed("gradient steps"):
            study.write_table("toy", toy_table(config.toy, config.all_seeds))
            study.write_table("toy_distributions", distributions_table(config.toy, config.seed))

    return run_study(config, measure)
