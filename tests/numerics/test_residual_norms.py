"""Norms of residuals, against π − e written out in float64."""

import pytest
import torch

from ldyn.numerics.token_stats import residual_norms


@pytest.fixture
def batch():
    """Logits [4, 11] of peaky, flat and certain positions, labels [6], and the rows that predict them, some twice."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 5.0, 40.0, 40.0])[:, None]
    logits = scale * torch.randn(4, 11, generator=generator)
    rows = torch.tensor([0, 1, 2, 3, 1, 0])
    labels = torch.randint(11, (6,), generator=generator)
    labels[3] = logits[3].argmax()  # the label is nearly certain
    return logits, labels, rows


def slow(logits, labels, rows):
    residuals = logits.double().softmax(-1)[rows] - torch.nn.functional.one_hot(labels, logits.shape[-1])
    return residuals.square().sum(dim=1).sqrt()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunk_elements", [None, 1, 25])
def test_norms_are_those_of_the_residuals_written_out(batch, dtype, chunk_elements):
    logits, labels, rows = batch
    found = residual_norms(logits.to(dtype), labels, rows, chunk_elements=chunk_elements)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), slow(logits.to(dtype), labels, rows), rtol=1e-5, atol=1e-6)


def test_logits_are_neither_changed_nor_kept_in_a_graph(batch):
    logits, labels, rows = batch
    before = logits.clone()
    norms = residual_norms(logits.requires_grad_(), labels, rows)
    assert torch.equal(logits.detach(), before)
    assert not norms.requires_grad
