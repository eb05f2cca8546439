"""Each method in a process of its own, taking turns, so that noise on the machine favours none of them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from typing import Any

import torch
import transformers
from datasets import disable_progress_bars
from rich.console import Console
from rich.progress import track

from ldyn.bench.settings import TurnsConfig
from ldyn.errors import ModelError

_task: Any = None  # of this process


def in_turns(tasks: Mapping[str, tuple[Any, ...]], config: TurnsConfig) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """What each task is (its attribute ``ready``), and what a call of it returns in each repetition.

    ``tasks``: by name, the task's class and its arguments. Raises a task's error, ModelError if a process has ended.
    """
    context = get_context("spawn")  # a fork would share the locks of the parent's threads and count its memory
    calls: list[Any] = [(name, _make, *made) for name, made in tasks.items()]
    calls += [(name, _work) for name in tasks] * config.repetitions
    results: dict[str, list[Any]] = {name: [] for name in tasks}
    with ExitStack() as stack:
        new = partial(ProcessPoolExecutor, 1, context, _prepare, (config.threads,))
        pools = {name: stack.enter_context(new()) for name in tasks}
        for name, *call in track(calls, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True):
            try:
                results[name].append(pools[name].submit(*call).result())
            except BrokenProcessPool:
                raise ModelError(
                    f"The process of the method {name!r} ended before it was done; see its output above. If memory "
                    "ran out (each process holds a copy of the model), take a smaller model."
                ) from None
    return {name: of[0] for name, of in results.items()}, {name: of[1:] for name, of in results.items()}


def _prepare(threads: int | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if threads is not None:
        torch.set_num_threads(threads)
    transformers.utils.logging.disable_progress_bar()
    disable_progress_bars()
    os.environ["TQDM_DISABLE"] = "1"


def _make(task: Callable[..., Any], *arguments: Any) -> Any:
    global _task  # noqa: PLW0603
    _task = task(*arguments)
    return _task.ready


def _work() -> Any:
    return _task()


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done its work; on a CPU a no-op."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(device: torch.device) -> dict[str, Any]:
    """The device, the cores, the threads and the version of torch."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    libraries = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    return {"device": name, "cores": os.cpu_count(), **libraries}
