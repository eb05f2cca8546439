"""`ldyn bench`: what scoring and training cost on this machine, our way and others' side by side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from ldyn.cli.hydra_jobs import composed_settings
from ldyn.errors import expected_one_of

if TYPE_CHECKING:
    from ldyn.bench.settings import BenchConfig

DESCRIPTION = """\
probes: scores probe examples by the published method (one forward pass for each response), as a padded batch, and as
ldyn does, each in a process of its own and in turns. Prints examples per second, peak memory above the weights, how
far the log-probabilities differ, and which share of the machine's rate of bare matrix products the scoring reaches.

train: times a training step of ldyn and of plain TRL with the same model, rows and loss, without probing."""

EPILOG = """\
settings of probes (key=value, as in `ldyn train`; --cfg job prints them all):
  model=pythia_410m          which model; with model.random_init=true of random weights, without a download
  model.name_or_path=DIR     a model of your own
  dataset.path=DIR           the probes: a directory with the paper's probe files, or one .jsonl file
  bench.examples=8           probe examples that each method scores; bench.repetitions=3 times
  bench.threads=2            threads of each process
  bench.token_budget=64      tokens in one forward pass: a small number saves memory

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
TIMED_ALGORITHMS = ("dpo", "sft_token_mean")  # whose loss TRL has as well
PROBES_COLUMNS = {
    "examples_per_second": ("examples/s", "{:.3g}"),
    "speedup_vs_published": ("speed-up", "{:.2f}"),
    "cpu_speedup_vs_published": ("by CPU time", "{:.2f}"),
    "matmul_share": ("matmul", "{:.0%}"),
    "peak_memory_mib": ("peak MiB", "{:,.0f}"),
    "max_abs_logp_difference": ("Δ logp", "{:.1e}"),
}
TRAINING_COLUMNS = {
    "seconds_per_step": ("s/step", "{:.4f}"),
    "time_vs_trl": ("vs TRL", "{:.3f}"),
    "tokens_computed": ("tokens/step", "{:,.0f}"),
    "setup_seconds": ("set-up s", "{:.2f}"),
    "last_loss": ("loss", "{:.5f}"),
}
PROBES_LEGEND = (
    "speed-up: over published. matmul: share of the rate of bare matrix products, on the operations needed. "
    "peak: above the weights. Δ logp: largest difference of a response's log-probability to published."
)
TRAINING_LEGEND = (
    "s/step: median over all steps of all turns. tokens/step: computed by the policy, padding included; tokens_needed "
    "counts each prompt once. loss: at the last step; all methods make the same updates. padded: ours with "
    "trainer.batching=padded"
)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark and print its table, or one JSON object."""
    parser = argparse.ArgumentParser(
        prog="ldyn bench",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=list(CONFIGS), help="what is measured: scoring probes, or a training step")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="any setting")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--cfg", choices=["job"], help="print the composed configuration and stop")
    options = parser.parse_intermixed_args(arguments)
    composed = composed_settings(CONFIGS[options.what], options.settings)
    if options.cfg:
        print(OmegaConf.to_yaml(composed), end="")
        return 0
    config = load_bench_config(composed)
    if options.what == "probes":
        from ldyn.bench.probes import measure_probes

        figures, columns, legend = measure_probes(config), PROBES_COLUMNS, PROBES_LEGEND
    else:
        from ldyn.bench.training import measure_training

        figures, columns, legend = measure_training(config), TRAINING_COLUMNS, TRAINING_LEGEND
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        print_figures(figures, columns, legend)
    return 0


def load_bench_config(composed: DictConfig) -> BenchConfig:
    """The settings, checked; the trainer is that of a stage with the algorithm."""
    from ldyn.bench.settings import BenchConfig
    from ldyn.config.loading import plain_settings, validated
    from ldyn.config.stages import stage_trainer

    plain = plain_settings(composed)
    settings = {key: value for key, value in plain.items() if key in {field.name for field in fields(BenchConfig)}}
    if "algorithm" in plain:
        settings["trainer"] = stage_trainer(plain, {"algorithm": plain["algorithm"]})
    return validated(BenchConfig, composed, settings, faults)


def faults(config: BenchConfig) -> list[str]:
    """Faults between settings: probes must exist, TRL must have the loss, and one process does the work."""
    from ldyn.algorithms import algorithm_faults
    from ldyn.records import PROBE_FAMILIES

    unknown = [probe for probe in config.bench.without if probe not in PROBE_FAMILIES]
    found = [f"bench.without: found {probe!r}; {expected_one_of(probe, PROBE_FAMILIES)}" for probe in unknown]
    if not config.algorithm:
        return found
    timed = replace(config.trainer, max_steps=config.bench.steps, epochs=None)
    found += [f"trainer.{fault}" for fault in timed.faults()]
    if config.trainer.num_processes not in (None, 1):
        found.append(f"trainer.num_processes: found {config.trainer.num_processes}, expected 1")
    name = config.algorithm.get("name")
    if name not in TIMED_ALGORITHMS:
        expected = expected_one_of(str(name), TIMED_ALGORITHMS)
        return [*found, f"algorithm.name: found {name!r}; {expected}: TRL has the same loss"]
    return [*found, *(f"algorithm.{fault}" for fault in algorithm_faults(config.algorithm))]


def print_figures(figures: Mapping[str, Any], columns: Mapping[str, tuple[str, str]], legend: str) -> None:
    """One row for each method, and below it what the figures refer to."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, collapse_padding=True)
    table.add_column("method", no_wrap=True)
    for label, _ in columns.values():
        table.add_column(label, justify="right")
    for name, of_method in figures["methods"].items():
        table.add_row(name, *(form.format(of_method[key]) for key, (_, form) in columns.items()))
    console = Console()
    console.print(table)
    about = {key: value for key, value in figures.items() if key not in ("methods", *columns)}
    for line in (legend, *(f"{key}: {_plain(value)}" for key, value in about.items())):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
