"""Candidates: the nearest of both directions, whatever the index, the order or the threads."""

import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ncaudit.matching.heads import unit_rows
from ncaudit.rematch.candidates import Edges, Pool, find_candidates
from ncaudit.rematch.duplicates import caption_nodes

NONE = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def pool(n: int = 40, m: int = 30, *, groups: int = 1, forbidden: tuple = NONE) -> Pool:
    rng = np.random.default_rng(0)
    image, caption = (unit_rows(rng.normal(size=(k, 12)).astype(np.float32)) for k in (n, m))
    return Pool(image, caption, np.arange(n) % groups, np.arange(m) % groups, forbidden)


def pairs_of(edges: Edges) -> set[tuple[int, int]]:
    return set(zip(edges.rows.tolist(), edges.columns.tolist(), strict=True))


def nearest_of_both(given: Pool, k: int) -> set[tuple[int, int]]:
    similarity = given.image @ given.caption.T
    similarity[given.image_group[:, None] != given.caption_group[None]] = -2
    similarity[given.forbidden] = -2
    ways = [(r, c) for r, row in enumerate(similarity) for c in np.argsort(-row)[:k]]
    ways += [(r, c) for c, row in enumerate(similarity.T) for r in np.argsort(-row)[:k]]
    return {(int(r), int(c)) for r, c in ways}


def test_edges_are_the_nearest_of_both_directions() -> None:
    given = pool()
    edges = find_candidates(given, k=4)
    assert pairs_of(edges) == nearest_of_both(given, 4)
    exact = np.einsum("ek,ek->e", given.image[edges.rows], given.caption[edges.columns])
    np.testing.assert_allclose(edges.similarity, exact, atol=1e-6)


def test_forbidden_pairs_are_never_edges() -> None:
    free = pool()
    best = (free.image @ free.caption.T).argmax(1)
    given = pool(forbidden=(np.arange(40), best))
    edges = find_candidates(given, k=4)
    assert pairs_of(edges).isdisjoint(zip(range(40), best.tolist(), strict=True))
    assert pairs_of(edges) == nearest_of_both(given, 4)


def test_groups_are_kept_apart() -> None:
    given = pool(groups=3)
    edges = find_candidates(given, k=4)
    assert (given.image_group[edges.rows] == given.caption_group[edges.columns]).all()
    assert pairs_of(edges) == nearest_of_both(given, 4)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_number_of_threads_changes_no_bit(n_threads: int) -> None:
    whole = find_candidates(pool(300, 200), k=8)
    with threadpool_limits(n_threads):
        again = find_candidates(pool(300, 200), k=8)
    np.testing.assert_array_equal(again.rows, whole.rows)
    np.testing.assert_array_equal(again.columns, whole.columns)
    np.testing.assert_array_equal(again.similarity, whole.similarity)


def test_ties_go_to_the_lower_row() -> None:
    one = np.ones((1, 2), np.float32) / np.float32(2**0.5)
    given = Pool(one, np.repeat(one, 5, axis=0), np.zeros(1), np.zeros(5), NONE)
    edges = find_candidates(given, k=2)
    # Every caption's nearest image is the only one; of the image's own list two are kept.
    assert edges.columns.tolist() == [0, 1, 2, 3, 4]
    given = Pool(np.repeat(one, 5, axis=0), one, np.zeros(5), np.zeros(1), NONE)
    assert find_candidates(given, k=2).rows.tolist() == [0, 1, 2, 3, 4]


def test_without_faiss_the_edges_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    with_faiss = find_candidates(pool(), k=4)
    monkeypatch.setitem(sys.modules, "faiss", None)
    without = find_candidates(pool(), k=4)
    assert (with_faiss.index, without.index) == ("faiss flat", "all compared, without faiss")
    assert pairs_of(without) == pairs_of(with_faiss)


def test_above_the_limit_an_inverted_file_finds_most() -> None:
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(20, 16))
    image = unit_rows(centre[np.arange(2000) % 20] + 0.3 * rng.normal(size=(2000, 16)))
    caption = unit_rows(image + 0.01 * rng.normal(size=image.shape))
    given = Pool(
        image.astype(np.float32), caption.astype(np.float32), np.zeros(2000), np.zeros(2000), NONE
    )
    edges = find_candidates(given, k=4, flat_limit=1000)
    assert edges.index.startswith("faiss inverted file")
    assert len(pairs_of(edges) & {(i, i) for i in range(2000)}) > 1900


def test_the_index_of_either_direction_is_told() -> None:
    pytest.importorskip("faiss")
    edges = find_candidates(pool(500, 60), k=4, flat_limit=100)
    kinds = edges.index.split(", faiss ")
    assert len(kinds) == 2
    assert edges.index.startswith("faiss flat, faiss inverted file")


def test_an_empty_side_has_no_edges() -> None:
    assert len(find_candidates(pool(0, 5), k=4).rows) == 0
    assert len(find_candidates(pool(5, 0), k=4).rows) == 0


def test_captions_in_almost_the_same_words_share_a_node() -> None:
    given = pool(30, 6)
    frozen = unit_rows(np.random.default_rng(1).normal(size=(6, 20)).astype(np.float32))
    frozen[4] = frozen[1]
    caption = given.caption.copy()
    caption[4] = caption[1]
    given = Pool(given.image, caption, given.image_group, given.caption_group, NONE)
    nodes = caption_nodes(find_candidates(given, k=6), frozen, least_cosine=0.98)
    assert nodes.tolist() == [0, 1, 2, 3, 1, 4]
