"""The objectives: gradients, order of the batch, filtration, and what each term is for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ncaudit.config import HeadsConfig, SremConfig
from ncaudit.errors import ConfigError
from ncaudit.matching import complementary, objectives
from ncaudit.matching.acl import active_complementary_loss, active_loss, match_log_probabilities
from ncaudit.matching.complementary import ComplementBias, biased_complementary_loss
from ncaudit.matching.energy import swapped_weights
from ncaudit.matching.objectives import (
    crcl_loss,
    is_top1,
    relative_uncertainty,
    split_by_energy,
    srem_loss,
    srem_warmup_loss,
)

Loss = Callable[[Tensor], Tensor]

S = torch.rand(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.tensor([0.0, 0.3, 0.6, 0.9, 1.0], dtype=torch.float64)
CLEAN = torch.tensor([True, False, True, True, False])
MASK = torch.zeros(5, 5, dtype=torch.bool)
MASK[0, 2] = MASK[2, 0] = True
MARGINS = (-0.9, -0.1)


def config(**settings: Any) -> HeadsConfig:
    return HeadsConfig(temperature=0.3, **settings)


def srem(similarity: Tensor, settings: HeadsConfig, **changed: Any) -> Tensor:
    arguments: dict[str, Any] = {"is_clean": CLEAN, "margins": MARGINS, "mask": MASK} | changed
    return srem_loss(similarity, config=settings, **arguments)


LOSSES: dict[str, Loss] = {
    "acl": lambda s: crcl_loss(s, Y, config(), mask=MASK),
    "cbcl": lambda s: crcl_loss(s, Y, config(complement="cbcl"), mask=MASK),
    "cbcl, similar": lambda s: crcl_loss(
        s, Y, config(complement="cbcl", complement_bias="similar"), mask=MASK
    ),
    "cbcl, dissimilar": lambda s: crcl_loss(
        s, Y, config(complement="cbcl", complement_bias="dissimilar"), mask=MASK
    ),
    "warm-up": lambda s: srem_warmup_loss(s, config(), mask=MASK),
    "srem": lambda s: srem(s, config()),
    "srem, similar": lambda s: srem(s, config(complement_bias="similar")),
}


def hold_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix what has no gradient by design at its value for S."""
    weights = swapped_weights(*match_log_probabilities(S, temperature=0.3, mask=MASK))
    logits = (S / 0.3).masked_fill(MASK, -torch.inf)
    biases = {
        (bias, turned): complementary._bias_weights(logits.T if turned else logits, bias)
        for bias in ComplementBias
        for turned in (False, True)
    }
    turn = {"next": True}

    def held(_logits: Tensor, bias: ComplementBias) -> Tensor:
        turn["next"] = not turn["next"]  # asked for images first, then for captions
        return biases[bias, turn["next"]]

    monkeypatch.setattr(objectives, "swapped_weights", lambda *_: weights)
    monkeypatch.setattr(complementary, "_bias_weights", held)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_that_of_finite_differences(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_weights(monkeypatch)
    assert torch.autograd.gradcheck(LOSSES[name], S.clone().requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_no_gradient_flows_through_the_weights(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    free = S.clone().requires_grad_()
    LOSSES[name](free).sum().backward()
    hold_weights(monkeypatch)
    held = S.clone().requires_grad_()
    LOSSES[name](held).sum().backward()
    torch.testing.assert_close(free.grad, held.grad)


def test_order_of_the_batch_does_not_matter() -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    moved, mask = S[order][:, order], MASK[order][:, order]
    for settings in (config(), config(complement="cbcl", complement_bias="dissimilar")):
        torch.testing.assert_close(
            crcl_loss(moved, Y[order], settings, mask=mask),
            crcl_loss(S, Y, settings, mask=MASK)[order],
        )
    torch.testing.assert_close(
        srem_warmup_loss(moved, config(), mask=mask),
        srem_warmup_loss(S, config(), mask=MASK)[order],
    )
    torch.testing.assert_close(
        srem(moved, config(), is_clean=CLEAN[order], mask=mask), srem(S, config())
    )


def test_default_objective_is_active_complementary_learning() -> None:
    expected = active_complementary_loss(S, Y, temperature=0.3, mask=MASK)
    torch.testing.assert_close(crcl_loss(S, Y, config(), mask=MASK), expected, rtol=0, atol=0)


@pytest.mark.parametrize("bias", ComplementBias)
def test_biased_learning_takes_the_place_of_the_complementary_term(bias: ComplementBias) -> None:
    settings = config(complement="cbcl", complement_bias=bias.value, complement_weight=2.0)
    log_p, log_q = match_log_probabilities(S, temperature=0.3)
    complement = biased_complementary_loss(S, temperature=0.3, bias=bias)
    torch.testing.assert_close(
        crcl_loss(S, Y, settings), Y * active_loss(log_p, log_q) + 2 * complement
    )


def test_srem_loss_by_hand() -> None:
    """Of four hinges one is above 0: that of image 0, 0.2 - 0.1 + 0.3 = 0.4."""
    similarity = torch.tensor([[0.1, 0.3], [-1.0, 0.9]], dtype=torch.float64)
    settings = config(srem=SremConfig(complement_weight=0.0, energy_weight=0.0))
    both = torch.tensor([True, True])
    log_p, log_q = match_log_probabilities(similarity, temperature=0.3)
    image_weight, _ = swapped_weights(log_p, log_q)
    got = srem_loss(similarity, both, settings, margins=None)
    torch.testing.assert_close(got, image_weight[0] * 0.4 / 2)


def test_terms_add_up_with_their_weights() -> None:
    def weighted(energy: float, complement: float) -> Tensor:
        terms = SremConfig(energy_weight=energy, complement_weight=complement)
        return srem(S, config(srem=terms))

    triplet = weighted(0, 0)
    expected = triplet + 3 * (weighted(1, 0) - triplet) + 2 * (weighted(0, 1) - triplet)
    torch.testing.assert_close(weighted(3, 2), expected)
    assert weighted(1, 0) > triplet
    assert weighted(0, 1) > triplet


def test_nobody_clean_leaves_the_complementary_term() -> None:
    similarity = S.clone().requires_grad_()
    nobody = torch.zeros(5, dtype=torch.bool)
    loss = srem(similarity, config(), is_clean=nobody, margins=None)
    expected = biased_complementary_loss(S, temperature=0.3, mask=MASK).mean()
    torch.testing.assert_close(loss.detach(), expected)
    loss.backward()
    assert similarity.grad is not None
    assert torch.isfinite(similarity.grad).all()


def test_pair_that_resembles_nothing_has_no_relative_uncertainty() -> None:
    for n in (4, 64):
        nothing = relative_uncertainty(torch.zeros(n, n, dtype=torch.float64), temperature=0.05)
        torch.testing.assert_close(nothing, torch.zeros(n, dtype=torch.float64))
    matched = relative_uncertainty(torch.eye(4, dtype=torch.float64), temperature=0.05)
    assert (matched < -0.9).all()


def test_best_match_does_not_count_masked_captions() -> None:
    similarity = torch.tensor([[0.2, 0.5], [0.1, 0.3]])
    mask = torch.tensor([[False, True], [False, False]])
    assert is_top1(similarity).tolist() == [False, True]
    assert is_top1(similarity, mask=mask).tolist() == [True, True]


def two_kinds() -> tuple[np.ndarray, np.ndarray]:
    """Relative energies of 300 matched and 100 mismatched pairs, and which are matched."""
    rng = np.random.default_rng(0)
    matched = np.arange(400) < 300
    return np.where(matched, rng.normal(-0.5, 0.05, 400), rng.normal(-0.05, 0.05, 400)), matched


@pytest.mark.parametrize("filtration", ["mixture", "margin"])
def test_filtration_takes_low_energy_for_clean(filtration: Any) -> None:
    uncertainties, matched = two_kinds()
    split = split_by_energy(uncertainties, np.ones(400), SremConfig(filtration=filtration), seed=0)
    np.testing.assert_array_equal(split.is_clean, matched)
    assert split.margins == pytest.approx((-0.5, -0.05), abs=0.02)


def test_wide_component_does_not_turn_the_filtration_round() -> None:
    """A wide component of noisy pairs is the likelier one on both sides of the narrow one."""
    rng = np.random.default_rng(0)
    energies = np.append(rng.normal(-0.5, 0.02, 300), rng.normal(-0.3, 0.2, 300))
    clean = split_by_energy(energies, np.ones(600), SremConfig(), seed=0).is_clean
    assert clean[np.argmin(energies)]
    assert not clean[np.argmax(energies)]


def test_clean_pair_may_have_to_be_the_best_match() -> None:
    uncertainties, matched = two_kinds()
    top1 = np.tile([0.25, 0.5], 200)
    plain, strict = (
        split_by_energy(uncertainties, top1, SremConfig(top1=clause), seed=0)
        for clause in (False, True)
    )
    np.testing.assert_array_equal(plain.is_clean, matched)
    np.testing.assert_array_equal(strict.is_clean, matched & (top1 >= 0.5))


def test_pairs_of_one_kind_are_not_pushed_apart() -> None:
    split = split_by_energy(np.full(8, -0.4), np.ones(8), SremConfig(margins=MARGINS), seed=0)
    assert split.is_clean.all()
    assert split.margins is None


def test_margins_can_be_set() -> None:
    uncertainties, _ = two_kinds()
    split = split_by_energy(uncertainties, np.ones(400), SremConfig(margins=MARGINS), seed=0)
    assert split.margins == MARGINS


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HeadsConfig(objective="sream"), "objective is 'sream'"),  # type: ignore[arg-type]
        (lambda: SremConfig(filtration="gmm"), "filtration is 'gmm'"),  # type: ignore[arg-type]
        (lambda: SremConfig(margins=(0.1, 0.1)), "not in order"),
        (lambda: SremConfig(repeats=0), "measure nothing"),
        (lambda: HeadsConfig(pieces=()), "no schedule"),
        (lambda: HeadsConfig(pieces=(3, 0)), "no schedule"),
        (lambda: HeadsConfig(warmup=-1), "no schedule"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
