"""From measurements to the figures that are reported: medians, ratios, and the share of the machine's rate."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers

from ldyn.bench.measure import Measurements
from ldyn.bench.methods import LEAST_MEMORY, METHODS, OURS, PUBLISHED
from ldyn.bench.operations import (
    FORMULA,
    MatrixShape,
    NeededWork,
    matrix_operations,
    needed_operations,
    needed_work,
)
from ldyn.bench.workload import lengths
from ldyn.models.settings import PretrainedConfig, TinyConfig
from ldyn.probes.engine import Tokens

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class MethodFigures:
    """seconds: of each repetition. examples_per_second: by their median. peak_memory_mib: above the weights.

    speedup_vs_published: by the medians. cpu_seconds, cpu_speedup_vs_published: the same by processor time, which other
    work on the machine hardly moves; with several threads it counts their waiting, too. matmul_share: the operations
    needed, in the median time, as a share of the rate of bare matrix products. max_abs_logp_difference: of any response
    to the published method, in nats.
    """

    token_budget: Tokens | None
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    examples_per_second: float
    peak_memory_mib: float
    speedup_vs_published: float
    cpu_speedup_vs_published: float
    matmul_share: float
    max_abs_logp_difference: float


@dataclass(frozen=True)
class Summary:
    """All figures of one measurement; ``max_abs_logp_difference`` is between any two methods."""

    methods: Mapping[str, MethodFigures]
    work: NeededWork
    operations: int
    matmul_rate: float
    max_abs_logp_difference: float
    measured: Measurements


def summarise(measured: Measurements) -> Summary:
    """The figures of all methods."""
    work = needed_work(measured.workload.examples)
    operations = needed_operations(work, measured.model.shapes)
    matmul_rate = median(_joint_rate(matrix_operations(work, measured.model.shapes), r) for r in measured.matrix_rates)
    logps = {name: runs[0].logps for name, runs in measured.runs.items()}
    times = {name: [run.seconds for run in runs] for name, runs in measured.runs.items()}
    cpu_times = {name: [run.cpu_seconds for run in runs] for name, runs in measured.runs.items()}
    budgets = {name: method.token_budget(measured.config.bench) for name, method in METHODS.items()}
    methods = {
        name: MethodFigures(
            token_budget=budgets[name],
            seconds=tuple(times[name]),
            cpu_seconds=tuple(cpu_times[name]),
            examples_per_second=len(measured.workload.examples) / median(times[name]),
            peak_memory_mib=max(run.peak_bytes for run in runs) / MEBIBYTE,
            speedup_vs_published=median(times[PUBLISHED]) / median(times[name]),
            cpu_speedup_vs_published=median(cpu_times[PUBLISHED]) / median(cpu_times[name]),
            matmul_share=operations / median(times[name]) / matmul_rate,
            max_abs_logp_difference=_largest_difference(logps[name], logps[PUBLISHED]),
        )
        for name, runs in measured.runs.items()
    }
    largest = max(_largest_difference(one, other) for one, other in combinations(logps.values(), 2))
    return Summary(methods, work, operations, matmul_rate, largest, measured)


def _joint_rate(operations: Mapping[MatrixShape, int], rates: Mapping[MatrixShape, float]) -> float:
    """Operations per second if each shape's share is done at that shape's rate."""
    return sum(operations.values()) / sum(number / rates[shape] for shape, number in operations.items())


def _largest_difference(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def as_object(summary: Summary) -> dict[str, Any]:
    """One object with all figures, the four headline figures first."""
    methods, work = summary.methods, summary.work
    ours, published = methods[OURS], methods[PUBLISHED]
    return {
        "speedup_vs_published": ours.speedup_vs_published,
        "matmul_share": ours.matmul_share,
        "peak_memory_ratio": ours.peak_memory_mib / published.peak_memory_mib,
        "peak_memory_ratio_least_memory": methods[LEAST_MEMORY].peak_memory_mib / published.peak_memory_mib,
        "max_abs_logp_difference": summary.max_abs_logp_difference,
        "methods": {name: asdict(figures) for name, figures in methods.items()},
        "operations": {"formula": FORMULA, "T": work.tokens, "C": work.attended_pairs, "U": work.predictions}
        | {"total": summary.operations, "per_example": summary.operations / len(summary.measured.workload.examples)},
        "matmul_operations_per_second": summary.matmul_rate,
        "examples": len(summary.measured.workload.examples),
        "responses": summary.measured.workload.n_responses,
        "tokens": lengths(summary.measured.workload.examples),
        "model": describe_model(summary.measured),
        "machine": describe_machine(summary.measured),
    }


def describe_model(measured: Measurements) -> dict[str, Any]:
    """What was scored with."""
    model = measured.model
    return {
        "name": model_name(measured.config.model),
        "random_weights": isinstance(measured.config.model, PretrainedConfig) and measured.config.model.random_init,
        "parameters": model.n_parameters,
        "weights_mib": model.weight_bytes / MEBIBYTE,
        "dtype": str(model.dtype).removeprefix("torch."),
        "vocabulary": model.shapes.unembedding[1],
    }


def model_name(config: TinyConfig | PretrainedConfig) -> str:
    """The hub name or directory of a pretrained model."""
    return config.name_or_path if isinstance(config, PretrainedConfig) else "tiny"


def describe_machine(measured: Measurements) -> dict[str, Any]:
    """What it was measured on."""
    return {
        "device": measured.model.device_name or measured.model.device,
        "threads": measured.model.threads,
        **describe_processor(),
    }


def describe_processor() -> dict[str, Any]:
    """The processor, and the libraries that use it."""
    return {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _processor_name() -> str:
    """As the system calls it; the architecture where it says no more."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
