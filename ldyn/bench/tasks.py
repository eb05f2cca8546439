"""What is done in processes of their own: score all examples by one method, and multiply matrices."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import transformers
from torch import Tensor, nn

from ldyn.bench.memory import PeakMemory
from ldyn.bench.methods import METHODS
from ldyn.bench.operations import MatrixShape, ModelShapes, shapes_of
from ldyn.bench.settings import BenchConfig, ProbesBenchConfig
from ldyn.bench.workload import Workload, load_model

MATRIX_ROWS = 1024  # tokens in one product: enough for the full rate
MATRIX_SECONDS = 0.2  # each shape is timed for at least so long


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Of the model in a method's process: its shapes, parameters, bytes of weights, dtype, device and threads."""

    shapes: ModelShapes
    n_parameters: int
    weight_bytes: int
    dtype: torch.dtype
    device: str
    device_name: str
    threads: int


@dataclass(frozen=True, slots=True)
class ScoredOnce:
    """One repetition of one method: its time, log π(y|x) of every response, and bytes above the weights so far.

    cpu_seconds: processor time of all its threads; a GPU's work is not in it.
    """

    seconds: float
    cpu_seconds: float
    logps: list[float]
    peak_bytes: int


class ScoringTask:
    """Scores the workload by one method with a model of its own; memory is watched from the first forward pass on."""

    def __init__(self, config: ProbesBenchConfig, workload: Workload, name: str):
        self._device = use(config.bench)
        self._method, self._workload = METHODS[name], workload
        self._budget = self._method.token_budget(config.bench) or "auto"
        transformers.utils.logging.disable_progress_bar()
        self._model = load_model(config)
        nn.Module.to(self._model, self._device)  # transformers' own `to` is typed as a function without self
        for parameter in self._model.parameters():
            parameter.detach().sum()  # weights that lie in a mapped file take memory only once they are read
        self._memory = PeakMemory(self._device).__enter__()  # until the process ends
        self._score(Workload(workload.examples[:1], workload.pad_id))  # first uses are slower: not timed

    @property
    def ready(self) -> LoadedModel:
        parameters = list(self._model.parameters())
        return LoadedModel(
            shapes=shapes_of(self._model),
            n_parameters=sum(p.numel() for p in parameters),
            weight_bytes=sum(p.numel() * p.element_size() for p in parameters),
            dtype=self._model.dtype,
            device=self._device.type,
            device_name=torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "",
            threads=torch.get_num_threads(),
        )

    def __call__(self) -> ScoredOnce:
        synchronise(self._device)
        started, cpu_started = time.perf_counter(), time.process_time()
        logps = self._score(self._workload)
        synchronise(self._device)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        return ScoredOnce(seconds, cpu_seconds, logps, self._memory.above_start)

    def _score(self, workload: Workload) -> list[float]:
        return self._method.score(self._model, workload.examples, self._budget, workload.pad_id)


class MatrixTask:
    """Operations per second of a bare product with a weight matrix of each shape, same threads and dtype."""

    def __init__(self, config: BenchConfig, shapes: Sequence[MatrixShape], dtype: torch.dtype):
        self._device = use(config)
        self._operands = {shape: self._random_operands(shape, dtype) for shape in shapes}

    @property
    def ready(self) -> None:
        return None

    def __call__(self) -> Mapping[MatrixShape, float]:
        return {shape: self._rate(*operands) for shape, operands in self._operands.items()}

    def _random_operands(self, shape: MatrixShape, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, weight (laid out as a layer's) and room for the product, so that no time goes into allocating it."""
        inputs, outputs = shape
        tokens = torch.randn(MATRIX_ROWS, inputs, device=self._device).to(dtype)
        weight = torch.randn(outputs, inputs, device=self._device).to(dtype).t()
        return tokens, weight, torch.empty(MATRIX_ROWS, outputs, device=self._device, dtype=dtype)

    def _rate(self, tokens: Tensor, weight: Tensor, product: Tensor) -> float:
        times, seconds = 1, 0.0
        torch.mm(tokens, weight, out=product)
        while seconds < MATRIX_SECONDS:
            times *= 2
            synchronise(self._device)
            started = time.perf_counter()
            for _ in range(times):
                torch.mm(tokens, weight, out=product)
            synchronise(self._device)
            seconds = time.perf_counter() - started
        return times * 2 * len(tokens) * weight.numel() / seconds


def use(config: BenchConfig) -> torch.device:
    """Set the number of threads of this process; the device that the configuration asks for."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    has_gpu = torch.cuda.is_available()
    return torch.device("cuda" if config.device == "cuda" or (config.device == "auto" and has_gpu) else "cpu")


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was told; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
