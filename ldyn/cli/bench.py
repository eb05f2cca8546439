"""`ldyn bench`: what scoring and training cost on this machine, our way and others' side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from ldyn.cli.settings_command import Page, composed, print_table
from ldyn.errors import ConfigError, expected_one_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ldyn.bench.settings import BenchConfig

PAGES = {"probes": Page("bench probes", "bench"), "train": Page("bench train", "bench_train")}
TIMED_ALGORITHMS = ("dpo", "sft_token_mean")  # whose loss TRL has as well
PROBES_COLUMNS = {
    "examples_per_second": ("examples/s", "{:.3g}"),
    "speedup_vs_published": ("speed-up", "{:.2f}"),
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
    what, *rest = arguments or [""]
    if what in ("-h", "--help"):
        print("\n\n".join(page.text() for page in PAGES.values()), end="")
        return 0
    if what not in PAGES:
        raise ConfigError([f"bench: found {what!r}; {expected_one_of(what, PAGES)} (`ldyn bench --help`)"])
    found = composed(PAGES[what], rest)
    if found is None:
        return 0
    config = load_bench_config(found)
    if what == "probes":
        from ldyn.bench.probes import measure_probes

        figures, columns, legend = measure_probes(config), PROBES_COLUMNS, PROBES_LEGEND
    else:
        from ldyn.bench.training import measure_training

        figures, columns, legend = measure_training(config), TRAINING_COLUMNS, TRAINING_LEGEND
    if config.json:
        print(json.dumps(figures, indent=1))
    else:
        print_figures(figures, columns, legend)
    return 0


def load_bench_config(settings: DictConfig) -> BenchConfig:
    """The settings, checked; the trainer is that of a stage with the algorithm."""
    from ldyn.bench.settings import BenchConfig
    from ldyn.config.loading import plain_settings, validated
    from ldyn.config.stages import stage_trainer

    plain = plain_settings(settings)
    known = {key: value for key, value in plain.items() if key in {field.name for field in fields(BenchConfig)}}
    if "algorithm" in plain:
        known["trainer"] = stage_trainer(plain, {"algorithm": plain["algorithm"]})
    return validated(BenchConfig, settings, known, faults)


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
    rows = [
        {"method": name, **{label: form.format(of[key]) for key, (label, form) in columns.items()}}
        for name, of in figures["methods"].items()
    ]
    print_table("", rows)
    about = {key: value for key, value in figures.items() if key not in ("methods", *columns)}
    print(legend, *(f"{key}: {_plain(value)}" for key, value in about.items()), sep="\n")


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
