"""Pairs drawn from topics: both sides see the same topics through their own matrix."""

import numpy as np

from ncaudit.matching.heads import unit_rows
from ncaudit.matching.pairs import Pairs
from ncaudit.types import Bools, EncoderCard

N_TOPICS = 24


def card(*, aligned: bool) -> EncoderCard:
    """Return the card of the towers that `latent_pairs` imitates."""
    dims = (48, 48) if aligned else (48, 40)
    return EncoderCard("latent", aligned, *dims, "none", {"latent": "0" * 64}, "float32")


def latent_pairs(
    n: int,
    *,
    noise: float = 0.3,
    aligned: bool = False,
    captions: int = 1,
    seed: int = 0,
    towers: int = 0,
) -> tuple[Pairs, Bools]:
    """Draw n pairs, and say which of them have another image's caption.

    Args:
        n: Pairs; a multiple of `captions`.
        noise: Share of pairs whose captions are exchanged.
        aligned: Whether both sides see the topics through one matrix.
        captions: Captions of each image.
        seed: Decides the draws.
        towers: Decides the two matrices; draws of one `towers` belong together.
    """
    rng, tower = np.random.default_rng([seed, 77]), np.random.default_rng([towers, 78])
    image_map = tower.normal(size=(N_TOPICS, 48))
    caption_map = image_map if aligned else tower.normal(size=(N_TOPICS, 40))
    topics = rng.normal(size=(n // captions, N_TOPICS))
    image = topics @ image_map + 3.0 * rng.normal(size=(n // captions, 48)) + 0.8
    owner = np.repeat(np.arange(n // captions), captions)
    caption = topics[owner] @ caption_map + 3.0 * rng.normal(size=(n, caption_map.shape[1])) - 0.5
    ids = rng.choice(2**62, 2 * n, replace=False).astype(np.uint64)
    source = np.arange(n)
    wrong = rng.permutation(n)[: round(noise * n)]
    source[wrong] = np.roll(wrong, 1)
    return (
        Pairs(
            unit_rows(image)[owner].astype(np.float16),
            unit_rows(caption)[source].astype(np.float16),
            ids[:n][owner],
            ids[n:][source],
        ),
        owner[source] != owner,
    )
