"""`ldyn bench`: what scoring and training cost on this machine, our way and others' side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from ldyn.cli.hydra_jobs import composed_settings

if TYPE_CHECKING:
    from rich.table import Table

DESCRIPTION = """\
probes: scores probe examples by the published method (one forward pass for each response), as a padded batch, and as
ldyn does, each in a process of its own and in turns, and prints examples per second, peak memory above the weights, how
far the log-probabilities differ, and which share of the machine's rate of bare matrix products the scoring reaches.

train: times a training step of ours and of plain TRL with the same model, rows and loss, without probing."""

EPILOG = """\
settings of probes (key=value, as in `ldyn train`; see them all with --cfg job):
  model=pythia_410m          which model; with model.random_init=true of random weights, without a download
  model.name_or_path=DIR  a model of your own
  dataset.path=DIR        the probes: a directory with the paper's probe files, or one .jsonl file
  bench.examples=8           probe examples that each method scores; bench.repetitions=3 times
  bench.threads=2            threads of each process; bench.device=cpu keeps off a GPU
  bench.token_budget=1024    tokens in one forward pass; bench.least_memory_token_budget=64 where memory counts

settings of train:
  algorithm=dpo              which loss, dpo or sft_token_mean; algorithm.beta=0.1
  model=tiny dataset=microworld trainer.batch_size=8 trainer.precision=fp32
  bench.steps=20             steps at a time, in bench.repetitions=5 turns; bench.threads=2

examples:
  ldyn bench probes model=pythia_160m model.random_init=true dataset.path=DIR
  ldyn bench probes model=pythia_2_8b model.random_init=true model.dtype=bfloat16 dataset.path=DIR --json
  ldyn bench train algorithm=sft_token_mean
"""


CONFIGS = {"probes": "bench", "train": "bench_train"}


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark and print its table, or one JSON object."""
    parser = argparse.ArgumentParser(
        prog="ldyn bench",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what", choices=["probes", "train"], help="what is measured: scoring probes, or a training step"
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="any setting")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--cfg", choices=["job"], help="print the composed configuration and stop")
    options = parser.parse_intermixed_args(arguments)

    composed = composed_settings(CONFIGS[options.what], options.settings)
    if options.cfg:
        print(OmegaConf.to_yaml(composed), end="")
        return 0
    bench = _bench_probes if options.what == "probes" else _bench_training
    return bench(composed, as_json=options.json)


def _bench_probes(composed: DictConfig, *, as_json: bool) -> int:
    from ldyn.config.loading import load_bench_config

    config = load_bench_config(composed)

    from ldyn.bench.measure import measure
    from ldyn.bench.summary import as_object, summarise
    from ldyn.bench.table import summary_notes, summary_table

    summary = summarise(measure(config))
    if as_json:
        print(json.dumps(as_object(summary), indent=1))
        return 0
    return _shown(summary_table(summary), summary_notes(summary))


def _bench_training(composed: DictConfig, *, as_json: bool) -> int:
    from ldyn.config.loading import load_train_bench_config

    config = load_train_bench_config(composed)

    from ldyn.bench.training import measure_training
    from ldyn.bench.training_table import training_notes, training_object, training_table

    measured = measure_training(config)
    if as_json:
        print(json.dumps(training_object(measured), indent=1))
        return 0
    return _shown(training_table(measured), training_notes(measured))


def _shown(table: Table, notes: Iterable[str]) -> int:
    from rich.console import Console

    console = Console()
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True, markup=False, highlight=False)
    return 0
