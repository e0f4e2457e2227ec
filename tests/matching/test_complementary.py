"""Complementary learning: golden values, stability near p = 1, gradients."""

import math

import numpy as np
import pytest
import torch

from ncaudit.matching.complementary import (
    ComplementBias,
    biased_complementary_loss,
    log1mexp,
)
from tests.golden.make_golden import stored

GOLDEN = stored()
S = torch.tensor([[0.80, 0.20, 0.10], [0.30, 0.25, 0.40], [0.05, 0.15, 0.70]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("bias", "name"),
    [
        (ComplementBias.UNIFORM, "CBCL_uniform(per pair)"),
        (ComplementBias.SIMILAR, "CBCL_biased(sim-weighted)"),
    ],
)
def test_golden_loss(bias: ComplementBias, name: str) -> None:
    loss = biased_complementary_loss(S, temperature=0.05, bias=bias)
    np.testing.assert_allclose(loss, GOLDEN[f"G1.{name}"], rtol=1e-11)


def test_dissimilar_bias_prefers_the_surely_wrong_partners() -> None:
    losses = {
        bias: biased_complementary_loss(S, temperature=0.05, bias=bias) for bias in ComplementBias
    }
    assert (losses[ComplementBias.DISSIMILAR] < losses[ComplementBias.UNIFORM]).all()
    assert (losses[ComplementBias.UNIFORM] < losses[ComplementBias.SIMILAR]).all()


def test_dissimilar_weights_by_hand() -> None:
    """Image 0 of two others: weights exp(-2) and exp(-1) over their sum, at tau 0.1."""
    similarity = torch.tensor(
        [[0.0, 0.2, 0.1], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64
    )
    p = torch.softmax(similarity[0] / 0.1, dim=0)
    weights = torch.tensor([math.exp(-2), math.exp(-1)], dtype=torch.float64)
    weights /= weights.sum()
    forward = -(weights * torch.log(1 - p[1:])).sum()
    backward = -math.log(1 - 1 / 3)
    loss = biased_complementary_loss(similarity, temperature=0.1, bias=ComplementBias.DISSIMILAR)
    assert loss[0].item() == pytest.approx((forward.item() + backward) / 2, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log1mexp_is_exact_and_bounded(dtype: torch.dtype) -> None:
    p = torch.tensor([0.0, 1e-30, 1e-6, 0.3, 0.5, 0.9, 0.999], dtype=dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-4
    np.testing.assert_allclose(
        log1mexp(p.log()), np.log1p(-p.double().numpy()), rtol=tolerance, atol=1e-12
    )
    certain = log1mexp(torch.zeros(1, dtype=dtype))
    assert certain.item() == pytest.approx(-GOLDEN["G9.-log(1e-7)"], rel=1e-6)


@pytest.mark.parametrize("bias", ComplementBias)
def test_gradient_is_that_of_finite_differences_with_weights_held(bias: ComplementBias) -> None:
    similarity = torch.rand(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if bias is ComplementBias.UNIFORM:
        assert torch.autograd.gradcheck(
            lambda moved: biased_complementary_loss(moved, temperature=0.2, bias=bias),
            similarity.requires_grad_(),
        )
    certain = (torch.eye(4) * 2 - 1).flip(0).requires_grad_()
    biased_complementary_loss(certain, temperature=0.01, bias=bias).sum().backward()
    assert certain.grad is not None
    assert torch.isfinite(certain.grad).all()


def test_masked_entries_and_lonely_pairs_cost_nothing() -> None:
    mask = ~torch.eye(3, dtype=torch.bool)
    similarity = S.clone().requires_grad_()
    loss = biased_complementary_loss(similarity, temperature=0.05, mask=mask)
    loss.sum().backward()
    np.testing.assert_array_equal(loss.detach(), 0)
    assert similarity.grad is not None
    assert torch.isfinite(similarity.grad).all()
