"""Tasks in processes of their own: they work when asked to, their errors arrive, and none outlives its user."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from ldyn.bench.memory import PeakMemory
from ldyn.bench.processes import RemoteTask
from ldyn.bench.settings import BenchConfig
from ldyn.bench.tasks import MATRIX_ROWS, MatrixTask
from ldyn.data.local_files import find_files
from ldyn.errors import DataError, ModelError

MEBIBYTE = 2**20


@pytest.mark.slow
def test_bare_products_are_measured_in_another_process() -> None:
    config = BenchConfig(threads=1, device="cpu")
    with RemoteTask("products", MatrixTask, config, [(64, 96)], torch.float32) as products:
        products.ready()
        rates = [products(), products()]
    assert all(set(rate) == {(64, 96)} for rate in rates)
    assert all(rate[64, 96] > 2 * 64 * 96 * MATRIX_ROWS / 60 for rate in rates)  # one product takes under a minute


def test_an_error_in_words_arrives_as_it_is(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="no such file or directory"),
        RemoteTask("read", find_files, tmp_path / "no") as task,
    ):
        task.ready()


@pytest.mark.parametrize(
    ("make", "arguments", "said"),
    [
        (os._exit, (3,), "'padded' ended with exit code 3"),
        (signal.raise_signal, (signal.SIGKILL,), r"'padded' was killed \(signal 9\).*If memory ran out"),
    ],
)
def test_a_process_that_is_gone_is_reported(make: object, arguments: tuple[int, ...], said: str) -> None:
    with pytest.raises(ModelError, match=said), RemoteTask("padded", make, *arguments) as task:
        task.ready()


def test_the_peak_above_the_start_is_seen_after_the_memory_is_freed() -> None:
    with PeakMemory(torch.device("cpu")) as memory:
        before = memory.above_start
        filled = torch.ones(64 * MEBIBYTE, dtype=torch.uint8)
        del filled
        peak = memory.above_start
    assert before < 16 * MEBIBYTE
    assert 63 * MEBIBYTE < peak < 96 * MEBIBYTE  # the kernel counts pages in lots
