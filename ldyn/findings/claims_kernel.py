"""K1 to K5: how well the first-order decomposition A·K·G and its fixed kernel describe the updates of a run.

Computed from the tables of a decomposition (`ldyn decompose`, `ldyn train +exp=decompose`): at some probe steps of each
stage, the optimizer's next step and what it did to the train probe examples. The unit of every interval is the probe
example. All thresholds were fixed before any result was looked at.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ldyn.findings.claim import Measurement, claim
from ldyn.findings.curves import Evidence
from ldyn.findings.parts import mean_part
from ldyn.numerics.statistics import kendall_tau, standard_ranks

Array = NDArray[np.float64]

UNEMBEDDING = "unembedding"
KEPT_ORDER, PREDICTED_SHARE, HALF = 0.5, 0.9, 0.5


@claim(
    "K1",
    "The order of the kernel's norms between response types is stable, after a messy start",
    "Kendall's τ between probe steps of a stage",
    "App. C: relatively stable, judged by the proxies LBK and SignDelta",
)
def kernel_order_is_stable(evidence: Evidence) -> Measurement | None:
    """K1: once a stage has begun, the order of the kernel's norms between response types stays what it is.

    Statistic: in each example, Kendall's τ between the orders of the observed responses by ‖K(χ_o, χ_u)‖_F per token
    pair, χ_u = [x ; y⁺] of the same question, at two probe steps of one stage; mean over all pairs of probe steps after
    the stage's start (step 0, the paper's messy start, is excluded). One part a stage.
    Rule: holds if τ is above 1/2 in every stage, so that three of four pairs of responses keep their order; fails if it
    is below in one. Norms are per token pair, because lengths alone would keep the order of plain norms. Each probe
    step has its own random projections, so errors of the norms can lower τ, never raise it.
    """
    table = evidence.table("kernel_norms")
    if table is None:
        return None
    own = table[table["updated"] == "chosen"]
    parts = []
    for stage, frame in own.groupby("stage", sort=False):
        norms = frame.pivot_table(index=["example_id", "probe"], columns="step", values="per_pair")
        settled = [int(step) for step in norms.columns if int(step) > 0]
        if pairs := list(combinations(settled, 2)):
            what = f"τ between the orders at {len(settled)} probe steps of {stage}"
            parts.append(mean_part(what, "above", _taus(norms, pairs), unit="", bound=KEPT_ORDER))
    return Measurement(parts, ()) if parts else None


@claim(
    "K2",
    "The first-order prediction A·K·G, with the optimizer's actual update, gives the actual change",
    "share of the squared change",
    "not measured; reviewers asked",
)
def first_order_predicts(evidence: Evidence) -> Measurement | None:
    """K2: the first-order prediction with the optimizer's actual update gives the change that really happened.

    Statistic: in each example, the share 1 − Σ (actual − predicted)² / Σ actual², sums over its observed responses and
    the probe steps of a stage, at the optimizer's own step. One part a stage.
    Rule: holds if the share is above 0.9 in every stage (a correlation of about 0.95), fails if it is below in one.
    """
    table = evidence.table("changes")
    if table is None:
        return None
    table = table[table["step_size"] == 1]
    stages = {str(stage): frame for stage, frame in table.groupby("stage", sort=False)}
    parts = [
        mean_part(f"share predicted in {stage}", "above", _share_predicted(frame), unit="", bound=PREDICTED_SHARE)
        for stage, frame in stages.items()
    ]
    notes = [f"in {stage} {_fit_words(frame)}" for stage, frame in stages.items()]
    return Measurement(parts, (), f"over all responses, actual on predicted: {'; '.join(notes)}")


@claim(
    "K3",
    "A fixed feature map explains most of the change: the unembedding's share is over half",
    "share of the change",
    "assumed; a reviewer named it as untested",
)
def fixed_features_explain(evidence: Evidence) -> Measurement | None:
    """K3: a fixed feature map explains most of the change: what passes through the unembedding alone is over half.

    Statistic: in each example, Σ p · a / Σ a², p the change predicted from the update of the unembedding alone, a the
    actual change, sums over its observed responses and the probe steps of a stage. It is the unembedding's summand when
    the change is written as a sum over the parts of the model: the shares of all parts add up to Σ predicted · a / Σ
    a², which is 1 where the first order is all. One part a stage.
    Rule: holds if the share is above 1/2 in every stage, fails if it is below in one.
    """
    table = evidence.table("change_parts")
    if table is None:
        return None
    parts, notes = [], []
    for stage, frame in table.groupby("stage", sort=False):
        shares = {str(part): _share_of(own) for part, own in frame.groupby("part", sort=False)}
        if UNEMBEDDING not in shares:
            return None
        what = f"share of the unembedding in {stage}"
        parts.append(mean_part(what, "above", shares[UNEMBEDDING], unit="", bound=HALF))
        notes.append(f"in {stage} " + ", ".join(f"{part} {share.mean():.2f}" for part, share in shares.items()))
    return Measurement(parts, (), f"shares of all parts {'; '.join(notes)}")


@claim(
    "K4",
    "Gradient entanglement before training tells which y⁺ will fall",
    "rank correlation with the fall of y⁺",
    "not in the paper; arXiv 2410.13828",
)
def entanglement_foretells(evidence: Evidence) -> Measurement | None:
    """K4: gradient entanglement, ⟨∇s₊, ∇s₋⟩ − ‖∇s₊‖² at a stage's start, tells which y⁺ will fall.

    Statistic: Spearman's rank correlation, over the probed pairs, of the score with the fall of log π(y⁺) over the
    stage (minus its change), as the mean product of standardised ranks. Rule: holds if above zero, fails if below.
    """
    return _foretold_by(evidence, "entanglement", "gradient entanglement")


@claim(
    "K5",
    "CHES before training tells which y⁺ will fall",
    "rank correlation with the fall of y⁺",
    "not in the paper; arXiv 2410.08847",
)
def ches_foretells(evidence: Evidence) -> Measurement | None:
    """K5: CHES (arXiv 2410.08847), at a stage's start, tells which y⁺ will fall. Statistic and rule as for K4."""
    return _foretold_by(evidence, "ches", "CHES")


def _foretold_by(evidence: Evidence, score: str, words: str) -> Measurement | None:
    table = evidence.table("displacement")
    table = None if table is None else table.dropna(subset=[score, "change"])
    if table is None or table.empty:
        return None
    own = table[table["stage"] == table["stage"].iloc[0]]
    products = pd.Series(
        standard_ranks(own[score].to_numpy(np.float64)) * standard_ranks(-own["change"].to_numpy(np.float64)),
        index=own["example_id"],
    )
    stage = own["stage"].iloc[0]
    part = mean_part(f"rank correlation of {words} with the fall of chosen in {stage}", "above", products, unit="")
    return Measurement([part], ())


def _share_predicted(frame: pd.DataFrame) -> pd.Series:
    """Of each example: 1 − Σ (actual − predicted)² / Σ actual²."""
    squares = frame.assign(error=(frame["actual"] - frame["predicted"]) ** 2, size=frame["actual"] ** 2)
    sums = squares.groupby("example_id")[["error", "size"]].sum()
    return 1 - sums["error"] / sums["size"].where(sums["size"] > 0)


def _share_of(frame: pd.DataFrame) -> pd.Series:
    """Of each example: Σ p · a / Σ a²."""
    products = frame.assign(product=frame["predicted"] * frame["actual"], size=frame["actual"] ** 2)
    sums = products.groupby("example_id")[["product", "size"]].sum()
    return sums["product"] / sums["size"].where(sums["size"] > 0)


def _fit_words(frame: pd.DataFrame) -> str:
    predicted, actual = (frame[name].to_numpy(dtype=np.float64) for name in ("predicted", "actual"))
    slope, correlation = slope_and_correlation(predicted, actual)
    error = relative_error(predicted, actual)
    return f"correlation {correlation:.3f}, slope {slope:.2f}, relative error {error:.2f}"


def _taus(norms: pd.DataFrame, pairs: list[tuple[int, int]]) -> pd.Series:
    """Of each example: Kendall's τ between the orders in two columns of ``norms``, mean over pairs of columns."""
    found = {
        example: float(np.mean([kendall_tau(rows[a].to_numpy(), rows[b].to_numpy()) for a, b in pairs]))
        for example, rows in norms.groupby(level="example_id")
    }
    return pd.Series(found)


def slope_and_correlation(predicted: Array, actual: Array) -> tuple[float, float]:
    """Of the regression of ``actual`` on ``predicted``; NaN where either is constant."""
    x, y = predicted - predicted.mean(), actual - actual.mean()
    if not x.any() or not y.any():
        return np.nan, np.nan
    return float(x @ y / (x @ x)), float(x @ y / np.sqrt((x @ x) * (y @ y)))


def relative_error(predicted: Array, actual: Array) -> float:
    """‖actual − predicted‖ / ‖actual‖; NaN where nothing changed."""
    size = np.linalg.norm(actual)
    return float(np.linalg.norm(actual - predicted) / size) if size else np.nan
