"""Claims T1 to T5 as theorems on any logits, and the tables of `ldyn toy` against a slow loop over labels."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import spearmanr

from ldyn.theory.settings import ToyConfig
from ldyn.theory.toy import distributions_table, gradient_step, random_logits, toy_table

SMALL = ToyConfig(labels=(12, 20), starts=3, step_sizes=(0.2, 1.0), steps=2)
SEEDS = (4, 5)
Case = tuple[np.ndarray, int, float]


def closed_form(logps_NV: np.ndarray, rejected: int, step_size: float) -> np.ndarray:
    """log p after one step, by the formulas of `ldyn.theory.toy`, (N, V)."""
    moved = step_size * np.exp(logps_NV)
    moved[:, rejected] -= step_size
    return log_softmax(logps_NV + moved, axis=1)


@st.composite
def cases(draw: st.DrawFn, spread: float = 12.0) -> Case:
    """log p of a softmax over any logits, a label to push down, and a step size."""
    logits = np.array(draw(st.lists(st.floats(-spread, spread), min_size=2, max_size=40)))
    rejected = draw(st.integers(0, len(logits) - 1))
    return logits - np.logaddexp.reduce(logits), rejected, draw(st.floats(0.01, 5))


def changes(case: Case) -> np.ndarray:
    """Δ log p of one step, by the closed form."""
    logps, rejected, step_size = case
    return closed_form(logps[None], rejected, step_size)[0] - logps


def greedy(logps: np.ndarray, rejected: int) -> int:
    """y*: the most likely label but y⁻."""
    others = logps.copy()
    others[rejected] = -np.inf
    return int(others.argmax())


def test_a_step_worked_by_hand() -> None:
    """p = (1/2, 1/4, 1/4), y⁻ the last label, η' = 4 ln 2.

    Δz = 4 ln 2 · (1/2, 1/4, 1/4 − 1) = ln 2 · (2, 1, −3), so p is multiplied by (4, 2, 1/8): (2, 1/2, 1/32), which sums
    to S = 81/32; p' = (64/81, 16/81, 1/81).
    """
    logps = np.log([[0.5, 0.25, 0.25]])
    after = np.exp(closed_form(logps, rejected=2, step_size=4 * math.log(2)))
    np.testing.assert_allclose(after, [[64 / 81, 16 / 81, 1 / 81]], rtol=1e-14)


@given(cases())
def test_a_gradient_step_is_its_closed_form(case: Case) -> None:
    logps, rejected, step_size = case
    stepped = gradient_step(torch.from_numpy(logps[None]), rejected, step_size).log_softmax(-1).numpy()
    np.testing.assert_allclose(stepped, closed_form(logps[None], rejected, step_size), atol=1e-12)


@given(cases())
def test_t1_the_rejected_label_falls_always(case: Case) -> None:
    logps, rejected, step_size = case
    residual = np.exp(logps)
    residual[rejected] = np.expm1(logps[rejected])  # p − e without cancellation where p(y⁻) is nearly 1
    assert changes(case)[rejected] <= -step_size * (residual**2).sum() + 1e-13


@given(cases())
def test_t2_the_greedy_label_rises_always(case: Case) -> None:
    logps, rejected, step_size = case
    best = greedy(logps, rejected)
    p_rejected, p_best = np.exp(logps[[rejected, best]])
    least = -np.log1p(p_rejected * np.expm1(-step_size * (1 - p_rejected + p_best)))
    assert least > 0
    assert changes(case)[best] >= least - 1e-13


@given(cases(spread=6.0))
def test_t3_among_the_others_the_likelier_gains_more(case: Case) -> None:
    logps, rejected, _ = case
    kept = np.delete(logps, rejected)
    change = np.delete(changes(case), rejected)
    order = kept.argsort()
    assert (np.diff(change[order]) >= -1e-12).all()
    resolved = np.diff(np.exp(kept[order])) * case[2] > 1e-11
    assert (np.diff(change[order])[resolved] > 0).all()


@given(cases(spread=6.0))
def test_t3_a_label_falls_if_and_only_if_it_is_below_the_threshold(case: Case) -> None:
    logps, rejected, step_size = case
    p = np.exp(logps)
    moved = step_size * p
    moved[rejected] = -step_size * (1 - p[rejected])
    threshold = math.log((p * np.exp(moved)).sum())
    others = np.arange(len(p)) != rejected
    clear = others & (np.abs(step_size * p - threshold) > 1e-12)
    assert ((changes(case) < 0) == (step_size * p < threshold))[clear].all()


@given(cases(spread=4.0))
def test_t4_t5_to_first_order_others_change_by_their_own_formula(case: Case) -> None:
    """Δ log p_i = η'(p_i + p_{y⁻} − ‖p‖²), with an error below 2 η'²: |Δz| ≤ η', and log-mean-exp is 1-Lipschitz."""
    logps, rejected, _ = case
    p = np.exp(logps)
    for step_size in (1e-2, 1e-3):
        expected = np.delete(step_size * (p + p[rejected] - (p**2).sum()), rejected)
        found = np.delete(changes((logps, rejected, step_size)), rejected)
        assert np.abs(found - expected).max() <= 2 * step_size**2


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return toy_table(SMALL, SEEDS)


def slow_course(logits: list[float], rejected: int, step_size: float, steps: int) -> list[list[float]]:
    """log p after each step, label by label."""
    course = []
    for _ in range(steps + 1):
        total = math.fsum(math.exp(z) for z in logits)
        course.append([z - math.log(total) for z in logits])
        p = [math.exp(logp) for logp in course[-1]]
        logits = [z + step_size * (p[i] - (i == rejected)) for i, z in enumerate(logits)]
    return course


def test_every_start_is_measured_under_every_condition_at_every_step(table: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(table, toy_table(SMALL, SEEDS), check_exact=True)  # the same seeds, the same numbers
    assert len(table) == len(SEEDS) * 3 * 2 * 5 * 2 * 3  # seeds, starts, sizes, conditions, step sizes, times
    assert not table.duplicated(["unit", "labels", "start", "position", "step_size", "step"]).any()
    assert set(table["unit"]) == {f"{seed}-{start}" for seed in SEEDS for start in range(3)}
    assert set(zip(table["start"], table["position"], strict=True)) == {
        ("uniform", "any"), ("flat", "peak"), ("flat", "valley"), ("peaky", "peak"), ("peaky", "valley"),
    }  # fmt: skip


@pytest.mark.parametrize("position", ["peak", "valley"])
def test_a_row_is_what_a_loop_over_labels_finds(table: pd.DataFrame, position: str) -> None:
    """V = 12: the valley is label round(0.9 · 11) = 10; bystanders are 2 … 9 and 11, the poorer half 6, 7, 8, 9, 11."""
    rejected, best = {"peak": (0, 1), "valley": (10, 0)}[position]
    course = slow_course(list(5.0 * random_logits(4, 12, 3)[1]), rejected, 1.0, 2)
    chosen = (table["unit"] == "4-1") & (table["labels"] == 12) & (table["start"] == "peaky")
    rows = table[chosen & (table["position"] == position) & (table["step_size"] == 1.0)].sort_values("step")
    bystanders, poorer = [2, 3, 4, 5, 6, 7, 8, 9, 11], [6, 7, 8, 9, 11]
    for step, row in enumerate(rows.itertuples()):
        logps = course[step]
        assert row.logp_rejected == pytest.approx(logps[rejected], abs=1e-12)
        assert row.logp_greedy == pytest.approx(logps[best], abs=1e-12)
        assert row.others == pytest.approx(math.fsum(logps[i] for i in bystanders) / 9, abs=1e-12)
        assert row.poorer_half == pytest.approx(math.fsum(logps[i] for i in poorer) / 5, abs=1e-12)
        kept = [i for i in range(12) if i != rejected]
        if step:
            gains = [logps[i] - course[0][i] for i in kept]
            assert row.rank_correlation == pytest.approx(spearmanr([course[0][i] for i in kept], gains).statistic)


def test_the_pictured_start_is_the_first_of_the_table(table: pd.DataFrame) -> None:
    pictured = distributions_table(SMALL, 4)
    assert len(pictured) == 5 * 12
    by_panel = pictured.groupby(["start", "position"])
    assert (by_panel["is_rejected"].sum() == 1).all()
    assert by_panel[["before", "after"]].agg(lambda logps: np.exp(logps).sum()).to_numpy() == pytest.approx(1)
    rows = table[
        (table["unit"] == "4-0") & (table["labels"] == 12) & (table["step_size"] == 1.0) & (table["step"] == 2)
    ]
    found = pictured[pictured["is_rejected"]].set_index(["start", "position"])["after"]
    pd.testing.assert_series_equal(found, rows.set_index(["start", "position"])["logp_rejected"], check_names=False)


@pytest.mark.parametrize("changes", [{"flat": 5.0}, {"step_sizes": (1.0, 0.5)}, {"step_sizes": (1.0, 1.0)}])
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ToyConfig(**changes)
