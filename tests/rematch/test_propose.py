"""Proposals end to end on drawn pairs, of which the true partners are known."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from ncaudit.config import RematchConfig
from ncaudit.matching.pairs import Pairs
from ncaudit.rematch.accept import accept
from ncaudit.rematch.propose import Proposals, Space, Suspects, n_rounds, propose
from tests.signals.latent_pairs import latent_pairs

SPACE = Space(aligned=True, dim=48, ridge=1.0)


def suspects(*, orphans: bool = False, aligned: bool = True, groups: int = 1) -> tuple:
    """Return flagged and kept pairs, and of each flagged one the row of its true caption."""
    pairs, wrong = latent_pairs(1200, noise=0.3, aligned=aligned)
    clean, _ = latent_pairs(1200, noise=0.0, aligned=aligned)
    flagged = np.flatnonzero(wrong)
    if orphans:
        flagged = flagged[::2]
    rows = np.concatenate([flagged, np.flatnonzero(~wrong)])
    given = pairs.take(rows)
    at = {int(c): i for i, c in enumerate(given.caption_id[: len(flagged)])}
    partner = np.array([at.get(int(c), -1) for c in clean.caption_id[flagged]])
    p = np.where(np.arange(len(rows)) < len(flagged), 0.95, 0.03)
    return Suspects(given, len(flagged), p, np.arange(len(rows)) % groups), partner


@pytest.fixture(scope="module")
def found() -> tuple[Suspects, np.ndarray, Proposals]:
    given, partner = suspects()
    return given, partner, propose(given, SPACE, RematchConfig(), seed=0)


def test_proposals_find_the_true_partner(found: tuple) -> None:
    _, partner, proposals = found
    right = proposals.donor == partner
    sure = proposals.confidence >= 0.8
    assert sure.sum() > 20
    assert right[sure].mean() > 0.75
    assert abs(right.mean() - np.nanmean(proposals.confidence)) < 0.1


def test_transport_agrees_with_exact_assignment(found: tuple) -> None:
    given, _, proposals = found
    n = given.n_flagged
    centred = [
        side - side.mean(0) for side in (given.pairs.image, given.pairs.caption.astype(np.float32))
    ]
    image, caption = (side[:n] / np.linalg.norm(side[:n], axis=1)[:, None] for side in centred)
    similarity = image.astype(np.float64) @ caption.T
    np.fill_diagonal(similarity, -2)
    assigned = linear_sum_assignment(-similarity)[1]
    carried = proposals.mass > 0.8
    assert carried.sum() > 20
    assert (proposals.donor[carried] == assigned[carried]).mean() > 0.85


def test_nothing_is_matched_with_itself_or_twice_accepted(found: tuple) -> None:
    given, _, proposals = found
    rows = np.flatnonzero(proposals.donor >= 0)
    assert (proposals.donor[rows] != rows).all()
    accepted = accept(proposals, np.full(given.n_flagged, 0.1), RematchConfig())
    assert accepted.any()
    assert len(set(proposals.donor[accepted])) == accepted.sum()
    assert (proposals.confidence[accepted] >= 0.5).all()


def test_likely_mismatches_are_never_accepted(found: tuple) -> None:
    given, _, proposals = found
    assert not accept(proposals, np.full(given.n_flagged, 0.3), RematchConfig()).any()


def test_missing_partners_lower_the_confidence(found: tuple) -> None:
    given, _ = suspects(orphans=True)
    proposals = propose(given, SPACE, RematchConfig(), seed=0)
    assert proposals.about["recoverable_share"] < found[2].about["recoverable_share"]
    assert np.nanmean(proposals.confidence) < np.nanmean(found[2].confidence)


def test_groups_exchange_nothing() -> None:
    given, _ = suspects(groups=2)
    proposals = propose(given, SPACE, RematchConfig(), seed=0)
    rows = np.flatnonzero(proposals.donor >= 0)
    assert len(rows)
    assert (given.group[rows] == given.group[proposals.donor[rows]]).all()


def test_captions_of_kept_pairs_join_only_on_demand(found: tuple) -> None:
    given, _, proposals = found
    assert proposals.donor.max() < given.n_flagged
    wide = propose(given, SPACE, RematchConfig(pool="all"), seed=0)
    assert wide.donor.max() >= given.n_flagged


def test_same_call_same_bits(found: tuple) -> None:
    given, _, proposals = found
    again = propose(given, SPACE, RematchConfig(), seed=0)
    for field in dataclasses.fields(proposals):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(proposals, field.name))


def test_rounds_are_told_as_they_end(found: tuple) -> None:
    told: list[int] = []
    propose(found[0], SPACE, RematchConfig(), seed=0, on_round=told.append)
    assert sum(told) == n_rounds(found[0].n_flagged)


def test_too_few_kept_pairs_propose_nothing() -> None:
    given, _ = suspects()
    few = np.arange(given.n_flagged + 100)
    small = Suspects(
        given.pairs.take(few), given.n_flagged, given.p_mismatch[few], given.group[few]
    )
    proposals = propose(small, SPACE, RematchConfig(), seed=0)
    assert (proposals.donor == -1).all()
    assert "too few" in proposals.about["reason"]


def test_an_image_with_two_flagged_captions_gets_two() -> None:
    pairs, wrong = latent_pairs(1800, noise=0.3, aligned=True, captions=3)
    rows = np.concatenate([np.flatnonzero(wrong), np.flatnonzero(~wrong)])
    n = int(wrong.sum())
    p = np.where(np.arange(1800) < n, 0.95, 0.03)
    given = Suspects(pairs.take(rows), n, p, np.zeros(1800, np.int64))
    proposals = propose(given, SPACE, RematchConfig(), seed=0)
    claims = [
        (int(image), int(donor))
        for image, donor in zip(given.pairs.image_id[:n], proposals.donor, strict=True)
        if donor >= 0
    ]
    assert len(claims) > 100
    assert len(set(claims)) == len(claims)
    assert isinstance(given.pairs, Pairs)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("n_flagged", [1, 2, 3, 5])
def test_hardly_any_flagged_pairs_are_no_error(n_flagged: int, aligned: bool) -> None:
    """As in clean data: the only flagged pair has nobody to get a caption from."""
    pairs, _ = latent_pairs(600, noise=0.0, aligned=aligned)
    p = np.where(np.arange(600) < n_flagged, 0.9, 0.02)
    given = Suspects(pairs, n_flagged, p, np.zeros(600, np.int64))
    space = Space(aligned=aligned, dim=24, ridge=1.0)
    proposals = propose(given, space, RematchConfig(), seed=0)
    assert len(proposals.donor) == n_flagged
    assert (proposals.donor[: (n_flagged == 1)] == -1).all()
    confidence = proposals.confidence[proposals.donor >= 0]
    assert ((confidence >= 0) & (confidence <= 1)).all()
