"""SREM-style numbers: golden values, banks against batches, and what energy cannot see."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ncaudit.config import BankConfig
from ncaudit.matching.acl import match_log_probabilities
from ncaudit.matching.bank import draw_bank, score_against_bank
from ncaudit.matching.energy import (
    energy_bounds,
    energy_margin_loss,
    normalised_entropy,
    row_energy,
    score_rows,
    swapped_cross_entropy,
    swapped_weights,
    uncertainty,
)
from ncaudit.matching.moments import moments_of
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.start import ridge_cca
from tests.golden.make_golden import stored
from tests.signals.latent_pairs import latent_pairs

GOLDEN = stored()
TAU = 0.05
S = torch.tensor([[0.80, 0.20, 0.10], [0.30, 0.25, 0.40], [0.05, 0.15, 0.70]], dtype=torch.float64)


def check(name: str, value: torch.Tensor) -> None:
    np.testing.assert_allclose(value, GOLDEN[f"G1.{name}"], rtol=1e-11, atol=1e-14)


def random_similarity(seed: int, n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, n, generator=generator, dtype=torch.float64) * 2 - 1


def test_golden_energies() -> None:
    i2t, t2i = row_energy(S, temperature=TAU), row_energy(S.T, temperature=TAU)
    check("E_i2t", i2t)
    check("E_t2i", t2i)
    check("U", uncertainty(i2t, t2i))
    check("E_i2t_unscaled(-lse)", i2t / TAU)
    check("margin energy S_ii+U", S.diagonal() + uncertainty(i2t, t2i))
    low, high = energy_bounds(3, temperature=TAU)
    check("energy bounds B=3", torch.tensor([low, high], dtype=torch.float64))


def test_golden_entropies() -> None:
    log_p, log_q = match_log_probabilities(S, temperature=TAU)
    check("P_i2t", log_p.exp())
    check("P_t2i", log_q.exp())
    check("logp_i2t diag", log_p.diagonal())
    check("logp_t2i diag", log_q.diagonal())
    check("e_i2t(norm entropy)", normalised_entropy(log_p))
    check("e_t2i(norm entropy)", normalised_entropy(log_q))
    p_under_q, q_under_p, mean = swapped_cross_entropy(log_p, log_q)
    check("SCE_a=-sum_j P_ij log Q_ij", p_under_q)
    check("SCE_b=-sum_j Q_ij log P_ij", q_under_p)
    check("SCE_sym", mean)
    i2t, t2i = swapped_weights(log_p, log_q)
    check("w_i2t=1-e_t2i", i2t)
    check("w_t2i=1-e_i2t", t2i)


def test_golden_margin_loss() -> None:
    u = torch.tensor(GOLDEN["G1.U"], dtype=torch.float64)
    clean = torch.tensor([True, False, True])
    loss = energy_margin_loss(u, clean, clean_margin=-0.75, noisy_margin=-0.2)
    check("L_margin(m_c=-0.75,m_n=-0.2,clean=[1,0,1])", loss)
    nobody = energy_margin_loss(u[:0], clean[:0], clean_margin=-0.75, noisy_margin=-0.2)
    assert nobody == 0
    with pytest.raises(ValueError, match="margin"):
        energy_margin_loss(u, clean, clean_margin=0.0, noisy_margin=-0.2)


def test_gradients_are_those_of_finite_differences() -> None:
    similarity = random_similarity(3, 4).requires_grad_()
    clean = torch.tensor([True, False, True, False])

    def loss(moved: torch.Tensor) -> torch.Tensor:
        u = uncertainty(row_energy(moved, temperature=0.3), row_energy(moved.T, temperature=0.3))
        return energy_margin_loss(u, clean, clean_margin=-1.5, noisy_margin=1.0)

    assert torch.autograd.gradcheck(loss, similarity)


def test_bank_of_the_rest_of_the_batch_gives_the_batch() -> None:
    n = 6
    similarity = random_similarity(0, n)
    log_p, log_q = match_log_probabilities(similarity, temperature=TAU)
    _, _, swapped = swapped_cross_entropy(log_p, log_q)
    for i in range(n):
        rest = [j for j in range(n) if j != i]
        own = similarity[i, i : i + 1]
        rows = (torch.cat([own, side]) for side in (similarity[i, rest], similarity[rest, i]))
        scores = score_rows(*rows, temperature=TAU)
        got = torch.stack([scores.energy_i2t, scores.energy_t2i, scores.swapped_entropy])
        expected = torch.stack(
            [
                row_energy(similarity, temperature=TAU)[i],
                row_energy(similarity.T, temperature=TAU)[i],
                swapped[i],
            ]
        )
        torch.testing.assert_close(got, expected)


@given(st.integers(0, 10_000), st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_energy_of_a_full_pool_does_not_know_the_pairing(seed: int, n: int) -> None:
    similarity = random_similarity(seed, n)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    plain = row_energy(similarity, temperature=TAU)
    torch.testing.assert_close(row_energy(similarity[:, order], temperature=TAU), plain)
    low, high = energy_bounds(n, temperature=TAU)
    assert ((plain >= low - 1e-12) & (plain <= high + 1e-12)).all()
    moved = row_energy(similarity[order][:, order], temperature=TAU)
    torch.testing.assert_close(moved, plain[order])


def test_permuting_captions_changes_energies_of_a_small_bank_but_not_of_the_full_pool() -> None:
    pairs, _ = latent_pairs(400, noise=0.0)
    heads = ridge_cca(moments_of(pairs, aligned=False), dim=20, ridge=1.0)
    order = np.roll(np.arange(400), 1)
    permuted = pairs.recombine(np.arange(400), order)

    def full_pool(of: Pairs) -> torch.Tensor:
        image, caption = (torch.from_numpy(side) for side in heads.project(of))
        return row_energy(image @ caption.T, temperature=TAU)

    torch.testing.assert_close(full_pool(permuted), full_pool(pairs), rtol=0, atol=1e-6)

    bank = draw_bank(len(pairs), BankConfig(energy_batch=16, loss_batch=16, repeats=4), seed=0).of(
        pairs
    )
    right, wrong = (
        score_against_bank(heads, each, bank, temperature=TAU).energy_i2t
        for each in (pairs, permuted)
    )
    assert np.mean(wrong - right) > 0.1
    assert np.mean(wrong > right) > 0.8


@given(st.integers(0, 10_000), st.floats(0.01, 2.0))
@settings(max_examples=30, deadline=None)
def test_entropies_keep_their_ranges(seed: int, temperature: float) -> None:
    log_p, log_q = match_log_probabilities(random_similarity(seed, 7), temperature=temperature)
    entropy = normalised_entropy(log_p)
    assert ((entropy >= 0) & (entropy <= 1 + 1e-12)).all()
    p_under_q, q_under_p, mean = swapped_cross_entropy(log_p, log_q)
    assert torch.stack([p_under_q, q_under_p, mean]).min() >= 0


def test_masked_bank_pairs_count_for_nothing() -> None:
    rows, columns = torch.rand(3, 5, dtype=torch.float64), torch.rand(3, 5, dtype=torch.float64)
    fewer = score_rows(rows[:, :4], columns[:, :4], temperature=0.1)
    rows[:, 4] = columns[:, 4] = -torch.inf
    masked = score_rows(rows, columns, temperature=0.1)
    for name in ("energy_i2t", "energy_t2i", "swapped_entropy"):
        torch.testing.assert_close(getattr(masked, name), getattr(fewer, name))


def test_single_candidate_has_its_similarity_as_energy_and_no_entropy() -> None:
    rows = torch.tensor([[0.3, -torch.inf]], dtype=torch.float64)
    scores = score_rows(rows, rows, temperature=TAU)
    assert scores.energy_i2t.item() == pytest.approx(-0.3)
    assert scores.swapped_entropy.item() == 0
    assert normalised_entropy(torch.tensor([[0.0, -torch.inf]])).item() == 0


def test_uniform_row_has_full_entropy() -> None:
    log_p = torch.log_softmax(torch.zeros(1, 9), dim=1)
    assert normalised_entropy(log_p).item() == pytest.approx(1.0)
    assert log_p[0, 0].item() == pytest.approx(-math.log(9))


def test_disagreeing_shapes_and_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="against"):
        score_rows(torch.zeros(2, 3), torch.zeros(2, 4), temperature=1.0)
    p, q = torch.tensor([[-0.7, -0.7]]), torch.tensor([[0.0, -torch.inf]])
    with pytest.raises(ValueError, match="same entries"):
        swapped_cross_entropy(p, q)
