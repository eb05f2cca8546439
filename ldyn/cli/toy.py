"""`ldyn toy`: the squeezing effect in a bare softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ldyn.cli.settings_command import Page, study_command

if TYPE_CHECKING:
    from ldyn.store import Run

PAGE = Page(
    "toy",
    "toy",
    "ldyn toy [key=value ...] [flags]",
    """\
The squeezing effect in the smallest model: a softmax over V labels, and gradient steps that lower one label y⁻. For a
uniform, a flat and a peaky start, with y⁻ on the peak and in a valley, it measures where the probability goes, by
automatic differentiation and in closed form, and checks claims T1 to T5. Takes seconds; needs no model.

Writes outputs/toy/<run>/: tables, findings with verdicts, figures, report.html.""",
    """\
  ldyn toy
  ldyn toy seeds=10 toy.labels=[10,50000] toy.step_sizes=[0.5,5]

    Findings
      T1  holds          ...
    Report: outputs/toy/<run>/report.html""",
)


def main(arguments: Sequence[str]) -> int:
    """Run the study; `--help` explains it."""
    return study_command(PAGE, arguments, _study)


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
