"""The text of `ldyn train --help`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from ldyn.config.groups import experiments, groups

WIDTH = 110

TEMPLATE = """\
usage: ldyn train +exp=<experiment> [group=option ...] [key=value ...] [flags]

Runs an experiment, a list of finetuning stages with probes scored before, during and after each, and writes
outputs/<experiment>/<run>/: trajectories, findings with verdicts, figures, report.html.

experiments (+exp=...):
{experiments}

config groups (group=option):
{groups}

change any setting (key=value; see them all with --cfg job):
  ldyn train +exp=dpo_squeeze seed=1 algorithm.beta=0.05
  ldyn train +exp=dpo_squeeze preference.learning_rate=1e-5 sft.max_steps=60
  ldyn train +exp=dpo_squeeze trainer.max_steps=60 stages.dpo.trainer.batch_size=4
  ldyn train +exp=dpo_squeeze algorithm@sft.algorithm=sft_token_mean trainer=paper logger=none
  ldyn train +exp=dpo_squeeze algorithm=simpo +algorithm/gate=sequence
  ldyn train +exp=hh_tiny dataset.path=<directory with probe_train.jsonl and probe_test.jsonl>
  ldyn train resume=outputs/dpo_squeeze/<run>      go on with a run that was stopped

flags:
  --cfg job              print the composed configuration and stop; --resolve fills in its references
  -m, --multirun         a sweep, one run for each combination: ldyn train -m +exp=dpo_squeeze seed=1,2,3
                         resume=auto hydra.sweep.dir=<directory> runs what is missing of it; hydra/launcher=slurm_gpu
                         submits it to a SLURM cluster
  --config-dir <directory>  your own YAML files beside ours, e.g. <directory>/exp/mine.yaml for +exp=mine
  -sc install=bash       tab completion:  eval "$(ldyn train -sc install=bash)"
  --info, --hydra-help   what Hydra, which composes the configuration, has to say
"""


def train_help(directories: list[Path]) -> str:
    """The help page, with the experiments and options found in ``directories``."""
    options = {group: " ".join(names) for group, names in groups(directories).items() if group != "exp"}
    return TEMPLATE.format(experiments=_listed(experiments(directories)), groups=_listed(options))


def _listed(entries: Mapping[str, str]) -> str:
    """Names with their texts beside them, long texts over several lines."""
    column = max((len(name) for name in entries), default=0) + 4
    return "\n".join(
        textwrap.fill(text, WIDTH, initial_indent=f"  {name}".ljust(column), subsequent_indent=" " * column)
        for name, text in entries.items()
    )
