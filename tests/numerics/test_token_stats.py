"""Token statistics against an oracle that computes each from its definition, position by position."""

import math
from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from ldyn.numerics.token_stats import TokenStats, token_stats

FLOATS = (
    "logp", "logp_argmax", "log_mass_rest", "entropy", "prob_norm_sq", "a_norm", "residual_norm", "p_label"
)  # fmt: skip


def oracle(z: list[float], label: int) -> dict[str, float]:
    """Each statistic by its definition, in decimals of 80 digits: float64 itself loses log π(y*) near π(y*) = 1."""
    with localcontext() as context:
        context.prec = 80
        logits = [Decimal(x) for x in z]
        log_total = sum((x.exp() for x in logits), Decimal(0)).ln()
        logp = [x - log_total for x in logits]
        p = [x.exp() for x in logp]
        greedy = z.index(max(z))
        a = [[(i == j) - p[j] for j in range(len(z))] for i in range(len(z))]  # I − 1 πᵀ
        statistics = {
            "logp": logp[label],
            "logp_argmax": logp[greedy],
            "log_mass_rest": sum(x for i, x in enumerate(p) if i != greedy).ln(),
            "entropy": -sum(x * y for x, y in zip(p, logp, strict=True)),
            "prob_norm_sq": sum(x * x for x in p),
            "a_norm": sum(x * x for row in a for x in row).sqrt(),
            "residual_norm": sum((x - (i == label)) ** 2 for i, x in enumerate(p)).sqrt(),
            "p_label": p[label],
        }
        return {name: float(value) for name, value in statistics.items()}


def assert_is_oracle(stats: TokenStats, logits: Tensor, labels: Tensor, rtol: float, atol: float) -> None:
    for n, (z, label) in enumerate(zip(logits.double().tolist(), labels.tolist(), strict=True)):
        expected = oracle(z, label)
        for name in FLOATS:
            found = getattr(stats, name)[n].item()
            assert found == pytest.approx(expected[name], rel=rtol, abs=atol), f"{name} of row {n}: {z}, {label}"
        assert z[int(stats.argmax_id[n])] == max(z)
        assert bool(stats.argmax_is_label[n]) == (int(stats.argmax_id[n]) == label)


@pytest.mark.parametrize("size", [2, 63, 64, 65, 400])
def test_the_greedy_token_is_the_first_of_equal_maxima_wherever_it_stands(size: int) -> None:
    logits = torch.randn(size, size).clamp(max=2)
    logits.fill_diagonal_(3.0)
    logits[:-1, -1] = 3.0  # a tie with the last token
    stats = token_stats(logits, torch.zeros(size, dtype=torch.long))
    assert stats.argmax_id.tolist() == list(range(size))
    logits[:, size // 2] = torch.nan
    assert not token_stats(logits, torch.zeros(size, dtype=torch.long)).is_finite.any()


def test_three_rows_worked_by_hand() -> None:
    # π: [1/2 1/4 1/4], [1/3 1/3 1/3], [1/8 3/4 1/8]; labels 0, 2, 0. Logits are log π plus any constant.
    p = torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3], [0.125, 0.75, 0.125]], dtype=torch.float64)
    stats = token_stats(p.log() + torch.tensor([[3.0], [0.0], [-40.0]]).double(), torch.tensor([0, 2, 0]))
    log = math.log
    by_hand = {
        "logp": [log(1 / 2), log(1 / 3), log(1 / 8)],
        "logp_argmax": [log(1 / 2), log(1 / 3), log(3 / 4)],
        "log_mass_rest": [log(1 / 2), log(2 / 3), log(1 / 4)],
        # ½ log 2 + 2·¼ log 4 = 1.5 log 2;  log 3;  2·⅛ log 8 + ¾ log(4/3) = ¾ log 2 + ¾ log(4/3)
        "entropy": [1.5 * log(2), log(3), 0.75 * log(2) + 0.75 * log(4 / 3)],
        # ¼ + 2/16 = 3/8;  3/9 = 1/3;  9/16 + 2/64 = 19/32
        "prob_norm_sq": [3 / 8, 1 / 3, 19 / 32],
        # √(3‖π‖² + 3 − 2): √(9/8 + 1), √(1 + 1), √(57/32 + 1)
        "a_norm": [math.sqrt(17 / 8), math.sqrt(2), math.sqrt(89 / 32)],
        # [−½ ¼ ¼]: ¼ + 2/16 = 3/8;  [⅓ ⅓ −⅔]: 6/9;  [−⅞ ¾ ⅛]: (49 + 36 + 1)/64 = 43/32
        "residual_norm": [math.sqrt(3 / 8), math.sqrt(2 / 3), math.sqrt(43 / 32)],
        "p_label": [1 / 2, 1 / 3, 1 / 8],
    }
    for name, expected in by_hand.items():
        assert getattr(stats, name).tolist() == pytest.approx(expected, rel=1e-12), name
    assert stats.argmax_id[[0, 2]].tolist() == [0, 1]
    assert stats.argmax_is_label[[0, 2]].tolist() == [True, False]


@st.composite
def logits_and_labels(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Flat to extreme: small integers give ties, the scale stretches them up to differences of 10,000 nats."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(2, 9)))
    scale = draw(st.sampled_from([0.0, 0.01, 1.0, 3.7, 30.0, 1000.0]))
    unit = draw(hnp.arrays("float32", shape, elements=st.integers(-5, 5).map(float) | st.floats(-5, 5, width=32)))
    labels = draw(st.lists(st.integers(0, shape[1] - 1), min_size=shape[0], max_size=shape[0]))
    return torch.from_numpy(unit * scale), torch.tensor(labels)


@settings(deadline=None, max_examples=100)
@given(logits_and_labels())
def test_equals_the_oracle_in_float64(case: tuple[Tensor, Tensor]) -> None:
    logits, labels = case
    assert_is_oracle(token_stats(logits.double(), labels), logits, labels, rtol=1e-11, atol=1e-40)


@settings(deadline=None, max_examples=100)
@given(logits_and_labels())
def test_equals_the_oracle_in_float32_also_where_p_rounds_to_one(case: tuple[Tensor, Tensor]) -> None:
    # Relative precision even of tiny masses and residuals; below 1e-37 float32 has no normal numbers. The error of a
    # difference of logits is the rounding of the logits' scale: at 5,000 nats, half a unit in the last place is 2.4e-4.
    logits, labels = case
    slack = 1e-5 + 2.0**-23 * float(logits.abs().max())
    stats = token_stats(logits, labels)
    assert_is_oracle(stats, logits, labels, rtol=slack, atol=1e-37)
    assert bool(stats.is_finite.all())


def test_peaky_rows_keep_the_digits_that_log1p_and_subtraction_lose() -> None:
    # p(y*) = 1 − 2e^−40 rounds to 1 in float32; a row 300 nats apart underflows exp() itself.
    logits = torch.tensor([[40.0, 0.0, 0.0], [300.0, 0.0, 0.0]])
    stats = token_stats(logits, torch.tensor([0, 0]))
    assert stats.log_mass_rest.tolist() == pytest.approx([math.log(2) - 40, math.log(2) - 300], rel=1e-6)
    assert stats.logp[0].item() == pytest.approx(-2 * math.exp(-40), rel=1e-6)
    assert stats.residual_norm[0].item() == pytest.approx(math.sqrt(6) * math.exp(-40), rel=1e-6)
    naive = torch.log(1 - logits.softmax(-1)[:, 0])
    assert naive.isinf().all()  # what the careful form avoids


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_logits_are_computed_in_float32(dtype: torch.dtype) -> None:
    logits = (torch.randn(6, 50, generator=torch.Generator().manual_seed(0)) * 4).to(dtype)
    labels = torch.arange(6)
    assert_is_oracle(token_stats(logits, labels), logits, labels, rtol=1e-5, atol=1e-7)
    assert token_stats(logits, labels).logp.dtype == torch.float32


def test_chunks_rows_autocast_and_input_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(23, 17, generator=generator), torch.randint(17, (31,), generator=generator)
    rows = torch.randint(23, (31,), generator=generator)
    before = logits.clone()
    whole = token_stats(logits[rows], labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        chunked = token_stats(logits, labels, rows=rows, chunk_elements=40)  # 2 rows a chunk
    for name in (*FLOATS, "argmax_id", "argmax_is_label", "is_finite"):
        assert torch.equal(getattr(whole, name), getattr(chunked, name)), name
    assert torch.equal(logits, before)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_nonfinite_logits_are_flagged_and_stay_in_their_row(bad: float, place: int) -> None:
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0]] * 3)
    logits[1, place] = bad
    stats = token_stats(logits, torch.tensor([0, 0, 0]))
    assert stats.is_finite.tolist() == [True, False, True]
    assert stats.entropy.isnan().tolist() == [False, True, False]
    clean = token_stats(logits[[0, 2]], torch.tensor([0, 0]))
    for name in FLOATS:
        assert torch.equal(getattr(stats, name)[[0, 2]], getattr(clean, name)), name


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one label per row"):
        token_stats(torch.zeros(3, 4), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="at least 2 tokens"):
        token_stats(torch.zeros(3, 1), torch.tensor([0, 0, 0]))
