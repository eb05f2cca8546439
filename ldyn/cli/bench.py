"""`ldyn bench`: what scoring and training cost on this machine, our way and others' side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldyn.cli.settings_command import Page, composed, print_table
from ldyn.errors import ConfigError, RunDirectoryError, expected_one_of

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
    "matmul_share": ("matmul", "{:.0%}"),
    "tokens_computed": ("tokens/step", "{:,.0f}"),
    "setup_seconds": ("set-up s", "{:.2f}"),
    "loss": ("loss", "{:.5f}"),
}
PROBES_LEGEND = (
    "speed-up: over published. matmul: share of the rate of bare matrix products, on the operations needed. "
    "peak: above the weights. Δ logp: largest difference of a response's log-probability to published."
)
TRAINING_LEGEND = (
    "s/step: median over all steps of all turns. tokens/step: computed by the policy, padding included; tokens_needed "
    "counts each prompt once. matmul: share of the rate of bare matrix products, on the tokens of ours. loss: mean "
    "of a turn; all methods make the same updates. padded: ours with trainer.batching=padded"
)


COMPARED = {"probes": PROBES_COLUMNS, "train": TRAINING_COLUMNS}
USAGE = "\n\nusage: ldyn bench compare A.json B.json\n\nPrints the figures of two files (save=FILE) side by side.\n"


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark and print its table, or one JSON object; or compare two files of figures."""
    what, *rest = arguments or [""]
    if what in ("-h", "--help"):
        print("\n\n".join(page.text() for page in PAGES.values()), end=USAGE)
        return 0
    if what == "compare" and len(rest) == 2:
        compare(*map(Path, rest))
        return 0
    if what not in PAGES:
        expected = expected_one_of(what, [*PAGES, "compare A.json B.json"])
        raise ConfigError([f"bench: found {' '.join(arguments)!r}; {expected} (`ldyn bench --help`)"])
    found = composed(PAGES[what], rest)
    if found is None:
        return 0
    config = load_bench_config(found)
    if what == "probes":
        from ldyn.bench.probes import measure_probes

        figures, legend = measure_probes(config), PROBES_LEGEND
    else:
        from ldyn.bench.training import measure_training

        figures, legend = measure_training(config), TRAINING_LEGEND
    if config.save is not None:
        save_figures(what, figures, config.save)
    if config.json:
        print(json.dumps(figures, indent=1))
    else:
        print_figures(figures, COMPARED[what], legend)
    return 0


def save_figures(what: str, figures: Mapping[str, Any], path: Path) -> None:
    """Add the figures to a file, in place of those of the same measurement: what, model and algorithm."""
    from ldyn.store.files import write_atomically

    kept = read_figures(path) if path.exists() else {}
    kept[" ".join([what, str(figures["model"]), *map(str, figures.get("algorithm", {}).values())])] = dict(figures)
    write_atomically(path, (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode())


def read_figures(path: Path) -> dict[str, Any]:
    """Measurement -> figures. Raises RunDirectoryError where the file cannot be read."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(
            f"{path} has no figures ({error}); expected a file of `ldyn bench ... save=FILE`."
        ) from error
    return found


def compare(first: Path, second: Path) -> None:
    """Print every figure that both files have, and the ratio of the second to the first."""
    a, b = read_figures(first), read_figures(second)
    rows = []
    for measured in (key for key in a if key in b):
        for method in (name for name in a[measured]["methods"] if name in b[measured]["methods"]):
            for name, (label, form) in COMPARED[measured.partition(" ")[0]].items():
                one, other = (figures[measured]["methods"][method].get(name) for figures in (a, b))
                if one is None or other is None:
                    continue
                row = {"measured": measured, "method": method, "figure": label, "A": form.format(one)}
                rows.append({**row, "B": form.format(other), "B / A": f"{other / one:.2f}" if one else "–"})
    if not rows:
        raise RunDirectoryError(f"{first} has {', '.join(a)}, {second} has {', '.join(b)}: nothing in common.")
    print_table(f"A: {first}, B: {second}", rows, texts=3)
    for name, figures in (("A", a), ("B", b)):
        print(f"{name}: {_plain(next(iter(figures.values()))['machine'])}")


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
