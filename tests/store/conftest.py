from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ldyn.records import ProbeScore, ProbeStep, StageInfo
from ldyn.store import RunDirectory

STAGES = (
    StageInfo("sft", "sft_sum", "pointwise", ("chosen",), "base"),
    StageInfo("dpo", "dpo", "pairwise", ("chosen", "rejected"), "sft"),
)


@pytest.fixture
def moment() -> Callable[[str, int], ProbeStep]:
    return lambda stage, step: ProbeStep(stage, {"sft": "sft_sum"}.get(stage, stage), step, 4 * step, step / 60)


@pytest.fixture
def scores() -> Callable[..., list[ProbeScore]]:
    """Scores that depend on the stage and step, as those of a deterministic run do; in an order that is not sorted."""

    def make(stage: str, step: int, examples: int = 2) -> list[ProbeScore]:
        level = -10.0 - step / 3 - len(stage)
        keys = [("train", f"q{i}", probe) for i in reversed(range(examples)) for probe in ("rejected", "chosen")]
        rest = (-3.0, -4.5, 1.25, 0.1, 3.0, 0.5, 0.25, 0.75)
        return [ProbeScore(*key, 5 + place, level - place / 7, *rest) for place, key in enumerate(keys)]

    return make


@pytest.fixture
def run_directory(tmp_path: Path) -> RunDirectory:
    """A run that has begun: its manifest is written, nothing is measured yet."""
    directory = RunDirectory.create(tmp_path / "squeeze" / "first")
    directory.write_json("manifest.json", {"schema_version": 1, "status": "running", "stages": STAGES})
    return directory
