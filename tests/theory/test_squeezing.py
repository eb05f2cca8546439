"""Claims T1 to T5 as theorems of one gradient step on a softmax, on any logits; and where a tendency has its limits."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ldyn.theory.squeezing import closed_form, gradient_step, squeeze

Case = tuple[np.ndarray, int, float]


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


def test_the_gradient_is_that_of_the_loss() -> None:
    """Against central differences of log p(y⁻), each logit by itself."""
    logits, rejected, step_size, h = np.array([0.3, -1.2, 2.0, 0.1]), 1, 0.7, 1e-6

    def loss(z: np.ndarray) -> float:
        return float(z[rejected] - np.log(np.exp(z).sum()))

    slopes = [(loss(logits + h * unit) - loss(logits - h * unit)) / (2 * h) for unit in np.eye(4)]
    stepped = gradient_step(torch.from_numpy(logits[None]), rejected, step_size).numpy()[0]
    np.testing.assert_allclose(stepped, logits - step_size * np.array(slopes), atol=1e-9)


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


@given(cases(), st.integers(2, 5))
def test_t2_holds_for_every_one_of_equally_likely_labels(case: Case, copies: int) -> None:
    logps, rejected, step_size = case
    tied = np.append(logps, [logps[greedy(logps, rejected)]] * copies)
    tied -= np.logaddexp.reduce(tied)
    change = changes((tied, rejected, step_size))
    top = np.flatnonzero((tied == tied[-1]) & (np.arange(len(tied)) != rejected))
    assert len(top) > copies
    assert change[top].max() - change[top].min() < 1e-13
    assert change[top].min() > -1e-15


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


def test_t3_the_poor_rise_with_the_rich_where_a_likely_label_is_pushed_down() -> None:
    """The limit of "those with lower p tend to fall": p(y⁻) = 0.9 is above ‖p‖² = 0.8150."""
    change = changes((np.log([0.9, 0.06, 0.03, 0.01]), 0, 0.1))
    assert (change[1:] > 0).all()


def test_in_a_uniform_softmax_all_others_rise_alike() -> None:
    change = changes((np.log(np.full(50, 1 / 50)), 7, 1.0))
    others = np.delete(change, 7)
    assert np.ptp(others) < 1e-15
    assert others[0] > 0


@given(cases(spread=4.0))
def test_t4_t5_to_first_order_others_change_by_their_own_formula(case: Case) -> None:
    """Δ log p_i = η'(p_i + p_{y⁻} − ‖p‖²), with an error below 2 η'²: |Δz| ≤ η', and log-mean-exp is 1-Lipschitz."""
    logps, rejected, _ = case
    p = np.exp(logps)
    for step_size in (1e-2, 1e-3):
        expected = np.delete(step_size * (p + p[rejected] - (p**2).sum()), rejected)
        found = np.delete(changes((logps, rejected, step_size)), rejected)
        assert np.abs(found - expected).max() <= 2 * step_size**2


@given(cases(spread=4.0), st.floats(1.1, 3))
def test_t4_a_sharper_softmax_has_a_larger_norm(case: Case, factor: float) -> None:
    """‖p‖² grows with the factor on the logits, and with it, to first order, what the other labels lose."""
    logps, _, _ = case
    assume(np.ptp(logps) > 0.1)
    sharper = factor * logps
    sharper -= np.logaddexp.reduce(sharper)
    assert (np.exp(2 * sharper)).sum() > np.exp(2 * logps).sum()


def test_squeeze_repeats_the_step_and_reports_the_difference_to_the_closed_form() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 6))
    course, differences = squeeze(logits, 5, 0.5, 4)
    assert course.shape == (5, 3, 6)
    assert differences.shape == (4, 3)
    expected = course[0]
    for step in range(4):
        expected = closed_form(expected, 5, 0.5)
        np.testing.assert_allclose(course[step + 1], expected, atol=1e-12)
    assert differences.max() < 1e-13
