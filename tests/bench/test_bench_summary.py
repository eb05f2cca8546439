"""From measurements to figures, by hand; and what is shown of them."""

from __future__ import annotations

import json
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from ldyn.bench.measure import Measurements
from ldyn.bench.methods import METHODS
from ldyn.bench.operations import ModelShapes
from ldyn.bench.settings import BenchConfig, ProbesBenchConfig
from ldyn.bench.summary import as_object, summarise
from ldyn.bench.table import summary_notes, summary_table
from ldyn.bench.tasks import LoadedModel, ScoredOnce
from ldyn.bench.workload import Workload
from ldyn.data.local_files import FilesConfig
from ldyn.models.settings import PretrainedConfig
from ldyn.records import EncodedProbeExample

MEBIBYTE = 2**20
# T = 3 + 2, C = 6 + 4 + 5, U = 1 + 2 (tests/bench/test_bench_operations.py)
EXAMPLE = EncodedProbeExample("train", "a", (1, 2, 3), {"chosen": (4, 5, 6), "rejected": (7,)})
SHAPES = ModelShapes(Counter({(10, 20): 3}), (10, 100), attention_layers=3, attention_width=10)


def runs(seconds: list[float], peaks_mib: list[int], logps: list[float]) -> list[ScoredOnce]:
    return [ScoredOnce(time, time + 1, logps, peak * MEBIBYTE) for time, peak in zip(seconds, peaks_mib, strict=True)]


@pytest.fixture
def measured() -> Measurements:
    architecture = {"model_type": "gpt_neox"}
    config = ProbesBenchConfig(
        model=PretrainedConfig("some/model", random_init=True, architecture=architecture),
        dataset=FilesConfig("nowhere"),
        cache=Path("nowhere"),
        bench=BenchConfig(token_budget=512, least_memory_token_budget=32),
    )
    return Measurements(
        config=config,
        workload=Workload((EXAMPLE,), pad_id=0),
        model=LoadedModel(SHAPES, 5_000_000, 20 * MEBIBYTE, torch.float32, "cpu", "", threads=2),
        runs={
            "published": runs([6.0, 90.0, 5.0], [190, 200, 200], [-10.0, -20.0]),
            "padded": runs([3.0, 3.0, 3.0], [400, 400, 400], [-10.1, -20.0]),
            "ours": runs([1.0, 2.0, 0.5], [100, 100, 100], [-9.9, -20.0]),
            "least_memory": runs([2.0, 2.0, 2.0], [50, 50, 50], [-10.0, -20.05]),
        },
        # 6,000 operations of the blocks at 3,000/s and 6,000 of the unembedding at 6,000/s: 12,000 in 3 s
        matrix_rates=[{(10, 20): 3000.0, (10, 100): 6000.0}] * 2 + [{(10, 20): 1.0, (10, 100): 1.0}],
    )


def test_figures_by_hand(measured: Measurements) -> None:
    summary = summarise(measured)
    assert summary.operations == 5 * 2 * 200 * 3 + 4 * 3 * 10 * 15 + 3 * 2 * 1000  # 6,000 + 1,800 + 6,000
    assert summary.matmul_rate == pytest.approx(4000)  # the median of three
    ours = summary.methods["ours"]
    assert ours.examples_per_second == pytest.approx(1.0)  # one example in a median of 1 s
    assert ours.speedup_vs_published == pytest.approx(6.0)
    assert ours.cpu_speedup_vs_published == pytest.approx(7 / 2)
    assert ours.matmul_share == pytest.approx(13_800 / 1.0 / 4000)
    assert ours.max_abs_logp_difference == pytest.approx(0.1)
    assert (ours.token_budget, summary.methods["least_memory"].token_budget) == (512, 32)
    assert summary.methods["published"].token_budget is None


def test_the_object_has_the_headline_figures_and_is_json(measured: Measurements) -> None:
    found = json.loads(json.dumps(as_object(summarise(measured))))
    assert found["speedup_vs_published"] == pytest.approx(6.0)
    assert found["matmul_share"] == pytest.approx(3.45)
    assert found["peak_memory_ratio"] == pytest.approx(0.5)
    assert found["peak_memory_ratio_least_memory"] == pytest.approx(0.25)
    assert found["max_abs_logp_difference"] == pytest.approx(0.2)  # padded against ours
    assert found["methods"]["published"]["seconds"] == [6.0, 90.0, 5.0]
    assert found["tokens"]["response"] == {"mean": 2, "median": 2, "min": 1, "max": 3}
    assert found["machine"]["threads"] == 2


def test_the_table_and_its_notes(measured: Measurements) -> None:
    summary = summarise(measured)
    console = Console(width=80, file=StringIO())
    console.print(summary_table(summary))
    shown = console.file.getvalue()
    assert "…" not in shown  # nothing is cut at 80 columns
    for method in METHODS.values():
        assert method.label in shown
    notes = "\n".join(summary_notes(summary))
    assert "some/model, random weights, 5 M parameters, float32, 20 MiB, vocabulary 100" in notes
    assert "1 examples, 2 responses; prompts of 3 tokens (median 3, 3 to 3); responses of 2 tokens" in notes
    assert "T = 5, C = 15, U = 3" in notes
    assert "2 threads" in notes
    assert "By processor time, ours is 3.50 times as fast as published" in notes
