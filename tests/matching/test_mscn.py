"""MSCN: margins, the network, the bilevel toy, and training that is repeatable."""

import numpy as np
import pytest
import torch

from ncaudit.matching.mscn import (
    CorrespondenceNetwork,
    EmbeddedPairs,
    MetaMatcher,
    MetaTraining,
    train_bilevel,
    train_meta_network,
)
from ncaudit.matching.soft_margin import (
    Parameters,
    bilevel_step,
    hardest_negative_hinge,
    mean_negative_hinge,
    soft_margin,
    soft_margin_loss,
)
from tests.golden.make_golden import stored

GOLDEN = stored()
S = torch.tensor([[0.55, 0.45, 0.30], [0.40, 0.35, 0.50], [0.20, 0.48, 0.70]], dtype=torch.float64)
MATCH = torch.tensor([0.8, 0.3, 0.9], dtype=torch.float64)
SMALL = MetaTraining(width=16, hidden=8, epochs=30, batch=64, warmup=2, learning_rate=1e-2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def known_pairs(n: int, seed: int = 0) -> tuple[EmbeddedPairs, EmbeddedPairs]:
    """Return matched pairs (a caption is its image and noise) and shifted, mismatched ones."""
    images = torch.nn.functional.normalize(torch.randn(n, 8, generator=generator(seed)), dim=1)
    noise = 0.2 * torch.randn(n, 8, generator=generator(seed + 1))
    captions = torch.nn.functional.normalize(images + noise, dim=1)
    return EmbeddedPairs(images, captions), EmbeddedPairs(images, captions.roll(1, 0))


def test_golden_soft_margins() -> None:
    s = torch.tensor([0, 0.1, 0.3, 0.5, 0.7, 0.9, 1], dtype=torch.float64)
    expected = GOLDEN["G4.margin s^2/(s^2+(1-s)^2)*0.2"]
    np.testing.assert_allclose(soft_margin(s), expected, rtol=1e-12)
    np.testing.assert_allclose(soft_margin(MATCH), GOLDEN["G4.m"], rtol=1e-12)
    assert not soft_margin(s.requires_grad_()).requires_grad


def test_golden_hinge_has_the_margin_of_the_anchor() -> None:
    i2t, t2i = hardest_negative_hinge(S, soft_margin(MATCH))
    np.testing.assert_allclose(i2t, GOLDEN["G4.triplet correct: cost_s_max"], rtol=1e-12)
    np.testing.assert_allclose(t2i, GOLDEN["G4.triplet correct: cost_im_max"], rtol=1e-12)
    assert (i2t + t2i).sum().item() == pytest.approx(GOLDEN["G4.triplet correct: sum"])
    assert (i2t + t2i).sum().item() != pytest.approx(GOLDEN["G4.triplet released: sum"])


def test_mean_hinge_is_ncr_s_loss_up_to_the_zero_diagonal() -> None:
    s = torch.tensor([[0.80, 0.20, 0.10], [0.30, 0.25, 0.40], [0.05, 0.15, 0.70]])
    i2t, t2i = mean_negative_hinge(s.double(), 0.2)
    expected = GOLDEN["G6.NCR eval_loss (mean over B incl. zero diag)"]
    np.testing.assert_allclose((i2t + t2i) * 2 / 3, expected, atol=1e-7)


def test_masked_negatives_do_not_count() -> None:
    mask = ~torch.eye(3, dtype=torch.bool)
    for hinge in (hardest_negative_hinge, mean_negative_hinge):
        similarity = S.clone().requires_grad_()
        i2t, t2i = hinge(similarity, MATCH, mask=mask)
        (i2t + t2i).sum().backward()
        np.testing.assert_array_equal((i2t + t2i).detach(), 0)
        assert similarity.grad is not None
        assert torch.isfinite(similarity.grad).all()


def test_gradient_is_that_of_finite_differences() -> None:
    margins = soft_margin(MATCH)
    similarity = S.clone().requires_grad_()
    for hinge in (hardest_negative_hinge, mean_negative_hinge):
        assert torch.autograd.gradcheck(
            lambda moved, hinge=hinge: sum(hinge(moved, margins)), similarity
        )


def test_golden_network() -> None:
    network = CorrespondenceNetwork(width=2, hidden=3).double()
    values = {
        "inner.weight": [[0.5, -0.25], [0.1, 0.3], [-0.4, 0.2]],
        "inner.bias": [0.0, 0.1, 0.05],
        "outer.weight": [[0.7, -0.6, 0.9]],
        "outer.bias": [0.05],
    }
    network.load_state_dict(
        {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
    )
    logit = network(torch.tensor([0.6, -0.8], dtype=torch.float64))
    assert torch.sigmoid(logit).item() == pytest.approx(GOLDEN["G4.V([.6,-.8])"], rel=1e-12)


def test_golden_bilevel_toy() -> None:
    theta = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    w = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)

    def logit(inner: Parameters, x: float) -> torch.Tensor:
        return theta * inner["w"] * x + 0.1 * x

    def training_loss(inner: Parameters) -> torch.Tensor:
        positive, negative = torch.sigmoid(logit(inner, 1.2)), torch.sigmoid(logit(inner, 0.7))
        return torch.relu(soft_margin(positive) + negative - positive)

    def meta_loss(inner: Parameters) -> torch.Tensor:
        logits = torch.stack([logit(inner, 1.5), logit(inner, -0.5)])
        labels = torch.tensor([1.0, 0.0], dtype=torch.float64)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)

    step = bilevel_step(training_loss, meta_loss, inner={"w": w}, outer={"theta": theta}, rate=0.5)
    main, slope, stepped, meta, hyper = GOLDEN[
        "G4.bilevel toy [L_main, dL/dw, w1, L_meta, dL_meta/dtheta]"
    ]
    assert step.training_loss.item() == pytest.approx(main, rel=1e-12)
    assert step.virtual["w"].item() == pytest.approx(stepped, rel=1e-12)
    assert (0.4 - step.virtual["w"].item()) / 0.5 == pytest.approx(slope, rel=1e-12)
    assert step.meta_loss.item() == pytest.approx(meta, rel=1e-12)
    assert step.hyper_gradient[0].item() == pytest.approx(hyper, rel=1e-9)


def test_hyper_gradient_of_the_network_is_that_of_finite_differences() -> None:
    matcher = MetaMatcher(3, generator=generator(), width=4, hidden=3).double()
    trusted, mismatched = (EmbeddedPairs(*(h[:5, :3].double() for h in p)) for p in known_pairs(5))
    inner = {f"features.{name}": value for name, value in matcher.features.named_parameters()}
    outer = dict(matcher.network.named_parameters())

    def judge(weights: Parameters, pairs: EmbeddedPairs) -> torch.Tensor:
        return torch.func.functional_call(matcher, dict(weights), tuple(pairs))

    def training_loss(weights: Parameters) -> torch.Tensor:
        return judge(weights, mismatched).square().sum()

    def meta_loss(weights: Parameters) -> torch.Tensor:
        return torch.nn.functional.softplus(-judge(weights, trusted)).mean()

    def step() -> tuple[float, tuple[torch.Tensor, ...]]:
        got = bilevel_step(training_loss, meta_loss, inner=inner, outer=outer, rate=0.3)
        return got.meta_loss.item(), got.hyper_gradient

    gradient = step()[1][0]
    weight, at, change = next(iter(outer.values())), (1, 2), 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[at] += sign * change
        values.append(step()[0])
        with torch.no_grad():
            weight[at] -= sign * change
    assert gradient[at].item() == pytest.approx((values[0] - values[1]) / 2 / change, rel=1e-6)


def test_soft_margin_loss_sums_both_directions() -> None:
    i2t, t2i = hardest_negative_hinge(S, soft_margin(S.diagonal()))
    torch.testing.assert_close(soft_margin_loss(S), i2t.sum() + t2i.sum())


def test_plain_training_separates_and_repeats_itself() -> None:
    trusted, mismatched = known_pairs(200)
    global_state = torch.get_rng_state()
    matchers = [
        train_meta_network(trusted, mismatched, generator=generator(5), training=SMALL)
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), global_state)
    unseen_good, unseen_bad = known_pairs(100, seed=7)
    good, bad = matchers[0](*unseen_good), matchers[0](*unseen_bad)
    assert (good[:, None] > bad[None]).float().mean() > 0.95
    assert torch.equal(good, matchers[1](*unseen_good))
    assert not matchers[0].training


def test_bilevel_training_separates_and_repeats_itself() -> None:
    trusted, mismatched = known_pairs(60)
    good, bad = known_pairs(96, seed=3)
    is_bad = torch.arange(96) % 3 == 0
    noisy = EmbeddedPairs(good.images, torch.where(is_bad[:, None], bad.captions, good.captions))
    settings = MetaTraining(
        width=16, hidden=8, epochs=15, batch=48, warmup=10, learning_rate=1e-2, meta_rate=1e-2
    )
    matchers = [
        train_bilevel(trusted, mismatched, noisy, generator=generator(2), training=settings)
        for _ in range(2)
    ]
    scores = matchers[0](*noisy)
    assert (scores[~is_bad][:, None] > scores[is_bad][None]).float().mean() > 0.9
    assert torch.equal(scores, matchers[1](*noisy))


def test_missing_pairs_are_refused() -> None:
    trusted, mismatched = known_pairs(4)
    nobody = trusted.take(torch.tensor([], dtype=torch.long))
    with pytest.raises(ValueError, match="both needed"):
        train_meta_network(nobody, mismatched, generator=generator())
    with pytest.raises(ValueError, match="2 noisy"):
        train_bilevel(trusted, mismatched, nobody, generator=generator())
