"""The figures of a measurement for a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ldyn.bench.methods import METHODS, OURS
from ldyn.bench.operations import FORMULA
from ldyn.bench.summary import MethodFigures, Summary, describe_machine, describe_model
from ldyn.bench.workload import lengths

_LEGEND = (
    "speed-up: over published. matmul: share of the rate of bare matrix products, on the operations needed. "
    "peak: above the weights. Δ logp: largest difference of a response's log-probability to published."
)


def summary_table(summary: Summary) -> Table:
    """One row for each method."""
    table = Table(title="Scoring probes", title_justify="left", box=SIMPLE_HEAD, collapse_padding=True)
    table.add_column("method", no_wrap=True)
    for column in ("budget", "examples/s", "speed-up", "matmul", "peak MiB", "Δ logp"):
        table.add_column(column, justify="right")
    for name, figures in summary.methods.items():
        table.add_row(METHODS[name].label, *_cells(figures))
    return table


def _cells(figures: MethodFigures) -> tuple[str, ...]:
    return (
        "" if figures.token_budget is None else f"{figures.token_budget}",
        f"{figures.examples_per_second:.3g}",
        f"{figures.speedup_vs_published:.2f}",
        f"{figures.matmul_share:.0%}",
        f"{figures.peak_memory_mib:,.0f}",
        f"{figures.max_abs_logp_difference:.1e}",
    )


def summary_notes(summary: Summary) -> tuple[str, ...]:
    """What the figures of the table refer to."""
    return (
        _LEGEND,
        _model_note(summary),
        _probes_note(summary),
        _operations_note(summary),
        *_processor_time_notes(summary),
        f"Bare matrix products of the model's shapes: {summary.matmul_rate / 1e9:,.1f} G operations a second",
        _machine_note(summary),
    )


def _model_note(summary: Summary) -> str:
    model = describe_model(summary.measured)
    weights = "random weights" if model["random_weights"] else "its own weights"
    size = f"{model['parameters'] / 1e6:,.0f} M parameters, {model['dtype']}, {model['weights_mib']:,.0f} MiB"
    return f"Model: {model['name']}, {weights}, {size}, vocabulary {model['vocabulary']:,}"


def _probes_note(summary: Summary) -> str:
    workload = summary.measured.workload
    tokens = "; ".join(
        f"{part}s of {of['mean']:.0f} tokens (median {of['median']:.0f}, {of['min']} to {of['max']})"
        for part, of in lengths(workload.examples).items()
    )
    return f"Probes: {len(workload.examples)} examples, {workload.n_responses} responses; {tokens}"


def _operations_note(summary: Summary) -> str:
    work, per_example = summary.work, summary.operations / len(summary.measured.workload.examples)
    counted = f"T = {work.tokens:,}, C = {work.attended_pairs:,}, U = {work.predictions:,} in all"
    return f"Operations needed: {per_example / 1e9:,.1f} G an example, by {FORMULA} with {counted}"


def _processor_time_notes(summary: Summary) -> tuple[str, ...]:
    """None for a GPU, whose work takes little time of the processor."""
    if summary.measured.model.device != "cpu":
        return ()
    speedup = summary.methods[OURS].cpu_speedup_vs_published
    return (f"By processor time, ours is {speedup:.2f} times as fast as published",)


def _machine_note(summary: Summary) -> str:
    machine, repetitions = describe_machine(summary.measured), summary.measured.config.bench.repetitions
    hardware = f"{machine['device']} ({machine['processor']}, {machine['cores']} cores), {machine['threads']} threads"
    return f"Machine: {hardware}, torch {machine['torch']}; medians of {repetitions} repetitions, in turns"
