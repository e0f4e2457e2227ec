"""Whether mismatches of an image come alone or all at once, told from soft probabilities."""

import numpy as np
import pytest

from ncaudit.calibration.cohesion import share_together
from ncaudit.types import Bools, Floats, Ints

N_IMAGES, N_CAPTIONS = 4000, 5
GROUP: Ints = np.repeat(np.arange(N_IMAGES), N_CAPTIONS)


def judged(is_mismatch: Bools, seed: int = 1) -> Floats:
    """Return the calibrated posterior of a noisy score, d' = 3."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=len(is_mismatch)) + 3.0 * is_mismatch
    odds = is_mismatch.mean() / (1 - is_mismatch.mean()) * np.exp(3.0 * score - 4.5)
    posterior: Floats = odds / (1 + odds)
    return posterior


def said(is_mismatch: Bools) -> float:
    p = judged(is_mismatch)
    return share_together(p, GROUP, p[is_mismatch])


def by_caption(rate: float) -> Bools:
    drawn: Bools = np.random.default_rng(0).random(len(GROUP)) < rate
    return drawn


def by_image(rate: float) -> Bools:
    drawn: Bools = np.repeat(np.random.default_rng(0).random(N_IMAGES) < rate, N_CAPTIONS)
    return drawn


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.6])
def test_captions_that_stray_alone_give_nought(rate: float) -> None:
    assert said(by_caption(rate)) < 0.03


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.6])
def test_images_that_stray_whole_give_one(rate: float) -> None:
    assert said(by_image(rate)) > 0.97


def test_a_mixture_of_both_lies_between() -> None:
    half = np.arange(len(GROUP)) < len(GROUP) // 2
    assert 0.4 < said(np.where(half, by_caption(0.3), by_image(0.3))) < 0.6


def test_images_of_one_caption_count_as_whole() -> None:
    p = judged(by_caption(0.3))
    assert share_together(p, np.arange(len(p)), p) == 1.0


def test_a_judge_that_tells_nothing_leaves_whole_images() -> None:
    p = np.full(len(GROUP), 0.3)
    assert share_together(p, GROUP, p) == 1.0


def test_images_without_siblings_have_no_say() -> None:
    p = judged(by_image(0.3))
    alone = np.ones(500)
    group = np.append(GROUP, N_IMAGES + np.arange(500))
    planted = p[by_image(0.3)]
    assert share_together(np.append(p, alone), group, planted) == share_together(p, GROUP, planted)
