"""`ldyn decompose`: updates of a run taken apart by the theory, and held against what they really did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ldyn.cli.study import study_command
from ldyn.config.groups import config_directory

if TYPE_CHECKING:
    from ldyn.store import Run

ABOUT = """\
Takes updates of a finished run again, from its own checkpoints and by its own optimizer, and compares for every probe
response the change of log π that the theory predicts (A·K·G, first order) with the one that happens: whole, by part of
the model, by what was trained on, and for several step sizes. Also: norms of the kernel over training, the influence of
single tokens, and scores that tell which chosen answers will fall. A run keeps its start and, with trainer.snapshots
(as +exp=decompose has them), further moments. Without a run: the first update of a model, data and algorithm."""

EXAMPLES = """\
  ldyn train +exp=decompose                                    train with snapshots, then decompose: all in one run
  ldyn decompose decompose.run=outputs/dpo_squeeze/latest      the first update of each stage of a run
  ldyn decompose decompose.run=RUN decompose.stages=[dpo] decompose.pairs=[train-0003]
  ldyn decompose model=pythia_410m dataset=hh algorithm=dpo trainer=paper decompose.influence_examples=0"""


def main(arguments: Sequence[str]) -> int:
    """Decompose, and print the findings."""
    settings = (config_directory() / "decompose" / "default.yaml").read_text(encoding="utf-8").splitlines()[1:]
    about = "\n".join([ABOUT, "", "what is measured (decompose.<key>=...):", *(f"  {line}" for line in settings)])
    return study_command("decompose", about, EXAMPLES, arguments, _study)


def _study(composed: DictConfig) -> Run:
    from hydra.core.hydra_config import HydraConfig

    from ldyn.config.decomposition import decompose_config

    config = decompose_config(composed, list(HydraConfig.get().overrides.task))

    from ldyn.run.decomposition import decompose_study

    return decompose_study(config)
