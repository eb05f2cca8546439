"""Norms of residuals of whole responses, against π − e written out in float64 and against the probes' statistics."""

import pytest
import torch

from ldyn.numerics.token_stats import response_residual_norms, token_stats


@pytest.fixture
def batch():
    """Logits [4, 6, 11], labels, and a mask of responses of 6, 3, 1 and 0 tokens; peaky, flat and certain positions."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 5.0, 40.0, 1.0])[:, None, None]
    logits = scale * torch.randn(4, 6, 11, generator=generator)
    labels = torch.randint(11, (4, 6), generator=generator)
    labels[2] = logits[2].argmax(dim=1)  # the label is nearly certain
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[0], mask[1, 2:5], mask[2, 3] = True, True, True
    return logits, labels, mask


def slow(logits, labels, mask):
    residuals = logits.double().softmax(-1) - torch.nn.functional.one_hot(labels, logits.shape[-1])
    return torch.stack([residuals[row][mask[row]].square().sum().sqrt() for row in range(len(mask))])


@pytest.mark.parametrize("chunk_elements", [None, 1, 100])
def test_norms_are_those_of_the_residuals_written_out(batch, chunk_elements):
    found = response_residual_norms(*batch, chunk_elements=chunk_elements)
    torch.testing.assert_close(found.double(), slow(*batch), rtol=1e-5, atol=1e-6)
    assert found[3] == 0  # no token, no residual


def test_norms_agree_with_the_statistics_of_each_position(batch):
    logits, labels, mask = batch
    norms = token_stats(logits.flatten(0, 1), labels.flatten()).residual_norm.view_as(mask)
    expected = (norms.square() * mask).sum(dim=1).sqrt()
    torch.testing.assert_close(response_residual_norms(logits, labels, mask), expected, rtol=1e-5, atol=1e-6)


def test_logits_are_neither_changed_nor_kept_in_a_graph(batch):
    logits, labels, mask = batch
    before = logits.clone()
    norms = response_residual_norms(logits.requires_grad_(), labels, mask)
    assert torch.equal(logits.detach(), before)
    assert not norms.requires_grad


def test_half_precision_is_computed_in_float32(batch):
    logits, labels, mask = batch
    half = logits.bfloat16()
    found = response_residual_norms(half, labels, mask)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), slow(half.float(), labels, mask), rtol=1e-5, atol=1e-6)
