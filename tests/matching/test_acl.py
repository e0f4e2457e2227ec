"""Active complementary loss: golden values, gradients, bounds."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ncaudit.matching.acl import (
    active_complementary_loss,
    active_loss,
    match_log_probabilities,
    match_probability,
    robust_complementary_loss,
)
from tests.golden.make_golden import stored

GOLDEN = stored()
S_A = torch.tensor([[0.60, 0.20], [0.30, 0.50]], dtype=torch.float64)
S_B = torch.tensor([[0.30, 0.25], [0.28, 0.26]], dtype=torch.float64)
CASES = {
    "G2a": (S_A, torch.tensor([1.0, 0.3], dtype=torch.float64)),
    "G2b": (S_B, torch.tensor([0.9, 0.2], dtype=torch.float64)),
}


def random_similarity(seed: int, n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, n, generator=generator, dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("case", CASES)
def test_golden_terms(case: str) -> None:
    similarity, y = CASES[case]
    log_p, log_q = match_log_probabilities(similarity, temperature=0.05)
    robust = robust_complementary_loss(log_p, log_q, regulator=1 - y)
    loss = active_complementary_loss(similarity, y, temperature=0.05)
    got = {
        "L_d": active_loss(log_p, log_q),
        "L_r(q=1-y)": robust,
        "per-pair y*L_d+5*L_r": loss,
        "ACL mean": loss.mean(),
        "label p=(p1+p2)/2": match_probability(log_p, log_q),
    }
    for name, value in got.items():
        np.testing.assert_allclose(value, GOLDEN[f"{case}.{name}"], rtol=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_golden_gradient(case: str) -> None:
    similarity, y = CASES[case]
    similarity = similarity.clone().requires_grad_()
    active_complementary_loss(similarity, y, temperature=0.05).mean().backward()
    np.testing.assert_allclose(similarity.grad, GOLDEN[f"{case}.dACL/dS"], rtol=1e-11)


@pytest.mark.parametrize(("label", "name"), [(1.0, "all y=1 (q=0)"), (0.0, "all y=0 (q=1)")])
def test_golden_extreme_labels(label: float, name: str) -> None:
    labels = torch.full((2,), label, dtype=torch.float64)
    loss = active_complementary_loss(S_B, labels, temperature=0.05).mean()
    assert loss.item() == pytest.approx(GOLDEN[f"G2b.ACL {name}"], rel=1e-12)
    logs = match_log_probabilities(S_B, temperature=0.05)
    robust = robust_complementary_loss(*logs, regulator=1 - labels)[0]
    at = int(1 - label)
    assert robust.item() == pytest.approx(GOLDEN["G2b.L_r q=0,q=1 pair0"][at], rel=1e-12)


def test_gradient_is_that_of_finite_differences() -> None:
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[0, 2] = mask[2, 0] = True
    labels = torch.tensor([0.0, 0.3, 0.8, 1.0], dtype=torch.float64)

    def loss(similarity: torch.Tensor) -> torch.Tensor:
        return active_complementary_loss(similarity, labels, temperature=0.2, mask=mask)

    assert torch.autograd.gradcheck(loss, random_similarity(0, 4).requires_grad_())


def test_no_gradient_flows_into_the_labels() -> None:
    labels = torch.tensor([0.4, 0.6], dtype=torch.float64, requires_grad=True)
    similarity = S_A.clone().requires_grad_()
    active_complementary_loss(similarity, labels, temperature=0.05).sum().backward()
    assert labels.grad is None
    assert similarity.grad is not None


def test_masked_duplicate_leaves_the_other_entries_as_if_it_were_not_there() -> None:
    similarity = random_similarity(1, 5)
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[0, 4] = mask[4, 0] = True
    log_p, log_q = match_log_probabilities(similarity, temperature=0.1, mask=mask)
    small = torch.log_softmax(similarity[0, :4] / 0.1, dim=0)
    torch.testing.assert_close(log_p[0, :4], small)
    assert log_p[0, 4] == log_q[4, 0] == -math.inf


def test_half_precision_is_finite() -> None:
    similarity = (torch.eye(4) * 2 - 1).half()
    loss = active_complementary_loss(similarity, torch.ones(4), temperature=0.01)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss).all()


@given(st.integers(0, 10_000), st.integers(2, 12), st.floats(0.01, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=50, deadline=None)
def test_tan_loss_keeps_its_bounds(seed: int, n: int, temperature: float, q: float) -> None:
    log_p, log_q = match_log_probabilities(random_similarity(seed, n), temperature=temperature)
    regulator = torch.full((n,), q, dtype=torch.float64)
    robust = robust_complementary_loss(log_p, log_q, regulator=regulator)
    assert (robust >= 0).all()
    assert (robust <= 2 * math.tan(1) ** (1 - q) + 1e-9).all()
    tan_sums = log_p.exp().tan().sum(dim=1)
    assert (tan_sums >= n * math.tan(1 / n) - 1e-9).all()
    assert (tan_sums <= math.tan(1) + 1e-9).all()


@given(st.integers(0, 10_000), st.integers(2, 10))
@settings(max_examples=30, deadline=None)
def test_order_of_the_batch_does_not_matter(seed: int, n: int) -> None:
    similarity = random_similarity(seed, n)
    labels = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    shuffled = active_complementary_loss(
        similarity[order][:, order], labels[order], temperature=0.05
    )
    plain = active_complementary_loss(similarity, labels, temperature=0.05)
    torch.testing.assert_close(shuffled, plain[order])


def test_wrong_shapes_and_temperature_are_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        match_log_probabilities(torch.zeros(2, 3), temperature=0.05)
    with pytest.raises(ValueError, match="temperature"):
        match_log_probabilities(S_A, temperature=0.0)
    with pytest.raises(ValueError, match="labels"):
        active_complementary_loss(S_A, torch.ones(3), temperature=0.05)
