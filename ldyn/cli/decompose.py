"""`ldyn decompose`: compare what the theory predicts for updates of a run with what they did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ldyn.cli.settings_command import Page, settings_listed, study_command

if TYPE_CHECKING:
    from ldyn.store import Run

ABOUT = """\
Takes updates of a finished run again, from its own checkpoints and by its own optimizer. For every probe response it
compares the change of log π that the theory predicts (A·K·G, first order) with the actual change: in total, by part of
the model, by what was trained on, and for several step sizes. It also reports norms of the kernel over training, the
influence of single tokens, and scores that predict which chosen answers will fall. A run keeps the start of each stage
and, with trainer.snapshots (as in +exp=decompose), later steps. Without a run, it decomposes the first update of the
model, data and algorithm that you choose."""

EXAMPLES = """\
  ldyn train +exp=decompose                                    train with snapshots, then decompose: all in one run
  ldyn decompose decompose.run=outputs/dpo_squeeze/latest      the first update of each stage of a run
  ldyn decompose decompose.run=RUN decompose.stages=[dpo] decompose.pairs=[train-0003]
  ldyn decompose model=pythia_410m dataset=hh algorithm=dpo trainer=paper decompose.influence_examples=0

    Findings
      A1  holds          ...
    Report: outputs/decomposition/<run>/report.html"""


def main(arguments: Sequence[str]) -> int:
    """Decompose, and print the findings."""
    measured = f"what is measured (decompose.<key>=...):\n{settings_listed('decompose/default')}"
    about = f"{ABOUT}\n\nWrites outputs/decomposition/<run>/: tables, findings, figures, report.html.\n\n{measured}"
    page = Page("decompose", "decompose", "ldyn decompose [key=value ...] [flags]", about, EXAMPLES)
    return study_command(page, arguments, _study)


def _study(composed: DictConfig) -> Run:
    from hydra.core.hydra_config import HydraConfig

    from ldyn.config.studies import decompose_config

    config = decompose_config(composed, list(HydraConfig.get().overrides.task))

    from ldyn.run.decomposition import decompose_study

    return decompose_study(config)
