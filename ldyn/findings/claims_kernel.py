"""K1 to K6: how well the first-order decomposition A·K·G and its fixed kernel describe the updates of a run.

Computed from the tables of a decomposition (`ldyn decompose`, `ldyn train +exp=decompose`): at some probe steps of each
stage, the optimizer's next step and what it did to the train probe examples. A claim is about the mean over stages;
each stage is a secondary part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ldyn.findings.claim import Claim, Part, secondary
from ldyn.findings.evidence import Evidence
from ldyn.numerics.statistics import kendall_tau, standard_ranks

Array = NDArray[np.float64]
ByStage = Callable[[Evidence], Mapping[str, pd.Series]]

UNEMBEDDING = "unembedding"
SHARE = {"unit": "share of the change", "smallest": 0.05}


def _parts(quantity: str, by_stage: ByStage, *, bound: float, unit: str, smallest: float) -> tuple[Part, ...]:
    """The mean over stages, each example's, and the stages one by one."""

    def mean(evidence: Evidence) -> pd.Series | None:
        found = by_stage(evidence)
        return pd.DataFrame(found).mean(axis=1) if found else None

    return (
        Part(f"{quantity}, mean over stages", "above", mean, True, unit, bound, smallest),
        secondary(f"{quantity} in", "above", by_stage, unit=unit, bound=bound, smallest=smallest, each="each stage"),
    )


def _stages_of(evidence: Evidence, table: str) -> dict[str, pd.DataFrame]:
    frame = evidence.table(table)
    return {} if frame is None else {str(stage): own for stage, own in frame.groupby("stage", sort=False)}


def _order_of_norms(evidence: Evidence) -> Mapping[str, pd.Series]:
    """Of each example: Kendall's τ between the orders of its responses at two probe steps after the stage's start.

    The order by ‖K(χ_o, χ_u)‖_F per token pair, χ_u = [x ; y⁺] of the same question; mean over all pairs of steps.
    """
    found = {}
    for stage, frame in _stages_of(evidence, "kernel_norms").items():
        own = frame[(frame["updated"] == "chosen") & (frame["step"] > 0)]
        norms = own.pivot_table(index=["example_id", "probe"], columns="step", values="per_pair")
        pairs = list(combinations(norms.columns, 2))
        if pairs:
            found[stage] = pd.Series(
                {
                    example: np.mean([kendall_tau(rows[a].to_numpy(), rows[b].to_numpy()) for a, b in pairs])
                    for example, rows in norms.groupby(level="example_id")
                }
            )
    return found


def _share_predicted(frame: pd.DataFrame, column: str = "predicted") -> pd.Series:
    """Of each example: 1 − Σ (actual − predicted)² / Σ actual², over its responses."""
    squares = frame.assign(error=(frame["actual"] - frame[column]) ** 2, size=frame["actual"] ** 2)
    sums = squares.groupby("example_id")[["error", "size"]].sum()
    return 1 - sums["error"] / sums["size"].where(sums["size"] > 0)


def _single_steps(evidence: Evidence) -> Mapping[str, pd.Series]:
    stages = _stages_of(evidence, "changes")
    return {stage: _share_predicted(frame[frame["step_size"] == 1]) for stage, frame in stages.items()}


def _whole_stage(column: str) -> ByStage:
    return lambda evidence: {
        stage: _share_predicted(frame, column) for stage, frame in _stages_of(evidence, "stage_changes").items()
    }


def _unembedding(evidence: Evidence) -> Mapping[str, pd.Series]:
    """Of each example: Σ p · a / Σ a², p predicted from the unembedding's update alone, a the actual change.

    The unembedding's summand when the change is written as a sum over the parts of the model.
    """
    found = {}
    for stage, frame in _stages_of(evidence, "change_parts").items():
        own = frame[frame["part"] == UNEMBEDDING]
        products = own.assign(product=own["predicted"] * own["actual"], size=own["actual"] ** 2)
        sums = products.groupby("example_id")[["product", "size"]].sum()
        if len(sums):
            found[stage] = sums["product"] / sums["size"].where(sums["size"] > 0)
    return found


def _foretold_by(score: str) -> Callable[[Evidence], pd.Series | None]:
    """Spearman's ρ of ``score`` at a stage's start with the fall of y⁺, as the mean product of standardised ranks."""

    def measure(evidence: Evidence) -> pd.Series | None:
        table = evidence.table("displacement")
        table = None if table is None else table.dropna(subset=[score, "change"])
        if table is None or table.empty:
            return None
        own = table[table["stage"] == table["stage"].iloc[0]]
        ranks = [standard_ranks(values.to_numpy(np.float64)) for values in (own[score], -own["change"])]
        return pd.Series(ranks[0] * ranks[1], index=own["example_id"])

    return measure


CLAIMS = (
    Claim(
        "K1",
        "The order of the kernel's norms between response types is stable, after a messy start",
        "App. C: relatively stable, judged by the proxies LBK and SignDelta",
        _parts("τ between the orders at two probe steps", _order_of_norms, bound=0.5, unit="Kendall's τ", smallest=0.1),
    ),
    Claim(
        "K2",
        "Sanity check: a single small step is linear, so A·K·G with the optimizer's own update gives its change",
        "not measured; reviewers asked",
        _parts("share predicted of one step", _single_steps, bound=0.9, **SHARE),  # type: ignore[arg-type]
    ),
    Claim(
        "K3",
        "A fixed feature map explains most of the change: the unembedding's share is over half",
        "assumed; a reviewer named it as untested",
        _parts("share of the unembedding", _unembedding, bound=0.5, **SHARE),  # type: ignore[arg-type]
    ),
    Claim(
        "K4",
        "Gradient entanglement before training tells which y⁺ will fall",
        "not in the paper; arXiv 2410.13828",
        (
            Part(
                "⟨∇s₊, ∇s₋⟩ − ‖∇s₊‖² with the fall of y⁺",
                "above",
                _foretold_by("entanglement"),
                unit="rank correlation",
                smallest=0.1,
            ),
        ),
    ),
    Claim(
        "K5",
        "CHES before training tells which y⁺ will fall",
        "not in the paper; arXiv 2410.08847",
        (Part("CHES with the fall of y⁺", "above", _foretold_by("ches"), unit="rank correlation", smallest=0.1),),
    ),
    Claim(
        "K6",
        "The kernel at a stage's start explains most of the change over the whole stage",
        "assumed where the theory of one step is read as one of training; not measured",
        (
            *_parts("share by the kernel at the start", _whole_stage("kernel_at_start"), bound=0.5, **SHARE),  # type: ignore[arg-type]
            secondary(
                "share by first-order steps from snapshot to snapshot in",
                "above",
                _whole_stage("kernel_at_snapshots"),
                bound=0.5,
                each="each stage",
                **SHARE,
            ),
        ),
    ),
)
