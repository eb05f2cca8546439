"""A small run as an observer is told of it: one stage of four steps, two probes on two examples, a test split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ldyn.records import Finding, ProbeScore, ProbeStep, StageInfo
from ldyn.tracking import Observer

STAGE = StageInfo("dpo", "dpo", "pairwise", ("chosen", "rejected"), "sft")
FINDING = Finding("D3", "DPO squeezes", 1.5, 1.0, 2.0, "nats", 2, 1, "holds", "all parts hold", "it rose")


def scores_at(step: int) -> list[ProbeScore]:
    """``chosen`` falls by 1 nat a step, ``rejected`` by 3, greedy mass rises by 0.5; examples lie 2 nats apart."""
    rows = [
        (split, f"q{example}", probe, -10.0 - slope * step - 2 * example)
        for split in ("train", "test")
        for example in (0, 1)
        for probe, slope in (("rejected", 3.0), ("chosen", 1.0))
    ]
    rest = {"log_mass_rest": -1.0, "prob_norm_sq": 0.5, "a_norm": 2.0, "residual_norm": 0.5, "argmax_is_label": 0.5}
    return [
        ProbeScore(*key, n_tokens=4, logp=logp, logp_argmax=-4 + step / 2, entropy=1.0, p_label=0.25, **rest)
        for *key, logp in rows
    ]


@pytest.fixture
def follow() -> Callable[[Observer, Path | None], None]:
    """Tell an observer of the whole run; with a report if a directory is given."""

    def tell(observer: Observer, directory: Path | None = None) -> None:
        observer.stage_started(STAGE, 4)
        for step in range(5):
            if step:
                observer.step_logged("dpo", step, {"loss": 0.5 / step, "learning_rate": 2e-5})
            if step % 2 == 0:
                observer.probes_scored(ProbeStep("dpo", "dpo", step, 8 * step, step / 30), scores_at(step))
        observer.stage_finished(STAGE)
        observer.run_finished([FINDING], directory / "report.html" if directory else None)
        observer.close()

    return tell
