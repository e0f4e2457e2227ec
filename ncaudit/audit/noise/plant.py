"""Making some of the pairs wrong, and knowing which."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ncaudit.audit.noise.exchange import caption_topics, exchange_captions, exchange_images
from ncaudit.audit.noise.kinds import NoiseKind
from ncaudit.audit.noise.orphans import adopt_orphans
from ncaudit.audit.noise.true_pairs import TruePairs
from ncaudit.audit.noise.words import exchange_word, exchangeable
from ncaudit.embeddings.cache import caption_id
from ncaudit.errors import InputError
from ncaudit.matching.pairs import Pairs
from ncaudit.types import Bools, Floats

Encode = Callable[[Sequence[str]], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Pairs that are taken for right, with the texts of their captions.

    Attributes:
        pairs: n pairs.
        captions: Their texts, n of them.
    """

    pairs: Pairs
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Noisy:
    """Pairs of which some were made wrong.

    Attributes:
        pairs: m pairs.
        is_mismatch: The truth, from what was done, shape (m,).
    """

    pairs: Pairs
    is_mismatch: Bools


def plant_noise(pool: Pool, kind: NoiseKind, rate: float, *, seed: int, encode: Encode) -> Noisy:
    """Make a share of the pairs wrong.

    Args:
        pool: Pairs that are right.
        kind: What is exchanged.
        rate: Share, in [0, 1].
        seed: Decides which.
        encode: Caption tower; only new texts go through it.

    Raises:
        InputError: If there is nothing that could be exchanged.
    """
    rng = np.random.default_rng([seed, 1000])
    pairs, rows = pool.pairs, np.arange(len(pool.pairs))
    if kind is NoiseKind.PARTIAL:
        noisy = _change_words(pool, rate, rng, encode)
    elif kind is NoiseKind.ORPHAN:
        noisy = pairs.recombine(*adopt_orphans(pairs, rate, rng))
    elif kind is NoiseKind.IMAGE:
        noisy = pairs.recombine(exchange_images(pairs, rate, rng), rows)
    else:
        topic = caption_topics(pairs) if kind is NoiseKind.TOPIC else None
        noisy = pairs.recombine(rows, exchange_captions(pairs, rate, rng, topic))
    is_mismatch = ~TruePairs(pairs).hold(noisy.image_id, noisy.caption_id)
    if rate > 0 and not is_mismatch.any():
        raise InputError(
            f"no {kind} noise could be planted: there is nothing to exchange",
            hint="Give more images with different captions, or choose another --noise.",
        )
    return Noisy(noisy, is_mismatch)


def _change_words(pool: Pool, rate: float, rng: np.random.Generator, encode: Encode) -> Pairs:
    """Exchange a word of as many captions as `rate` says and the texts allow."""
    pairs, others = pool.pairs, exchangeable(pool.captions)
    n_wanted = round(rate * len(pairs))
    truth = TruePairs(pairs)
    rows: list[int] = []
    texts: list[str] = []
    for row in rng.permutation(len(pairs)):
        if len(rows) == n_wanted:
            break
        text = exchange_word(pool.captions[row], others, rng)
        if text is None or truth.hold(pairs.image_id[[row]], _ids([text]))[0]:
            continue
        rows.append(int(row))
        texts.append(text)
    caption, ids = pairs.caption.copy(), pairs.caption_id.copy()
    if rows:
        caption[rows] = encode(texts)
        ids[rows] = _ids(texts)
    return Pairs(pairs.image, caption, pairs.image_id, ids)


def _ids(texts: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array([caption_id(text) for text in texts], np.uint64)
