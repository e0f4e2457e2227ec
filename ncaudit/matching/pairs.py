"""Pairs as the matching model sees them: two blocks of frozen embeddings and their identities."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ncaudit.types import Floats, Ints

CHUNK_PAIRS = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """n image-caption pairs; row i of each array describes pair i.

    Attributes:
        image: Frozen unit embeddings, shape (n, d_image), float16 or float32.
        caption: Frozen unit embeddings, shape (n, d_caption), float16 or float32.
        image_id: Equal ids mean the same image, shape (n,), uint64.
        caption_id: Equal ids mean the same caption, shape (n,), uint64.
    """

    image: Floats
    caption: Floats
    image_id: Ints
    caption_id: Ints

    def __post_init__(self) -> None:
        lengths = {len(self.image), len(self.caption), len(self.image_id), len(self.caption_id)}
        if len(lengths) != 1:
            raise ValueError(f"arrays of different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.image)

    def take(self, rows: Ints) -> "Pairs":
        """Return the pairs at `rows`, in that order."""
        return self.recombine(rows, rows)

    def recombine(self, image_rows: Ints, caption_rows: Ints) -> "Pairs":
        """Return pairs made of the images at one set of rows and the captions at another."""
        return Pairs(
            self.image[image_rows],
            self.caption[caption_rows],
            self.image_id[image_rows],
            self.caption_id[caption_rows],
        )

    def chunks(self, size: int = CHUNK_PAIRS) -> Iterator[tuple[slice, "Pairs"]]:
        """Yield consecutive pieces, so that float32 copies stay small."""
        for start in range(0, len(self), size):
            at = slice(start, start + size)
            yield (
                at,
                Pairs(self.image[at], self.caption[at], self.image_id[at], self.caption_id[at]),
            )


def identities(image_id: Ints, caption_id: Ints) -> Ints:
    """Mix two 64-bit ids into one; the same pair gets the same one everywhere, shape (n,)."""
    mixed: Ints = (image_id * np.uint64(0x9E3779B97F4A7C15)) ^ caption_id
    return mixed


def concatenate(parts: list[Pairs]) -> Pairs:
    """Join pairs end to end."""
    return Pairs(
        np.concatenate([part.image for part in parts]),
        np.concatenate([part.caption for part in parts]),
        np.concatenate([part.image_id for part in parts]),
        np.concatenate([part.caption_id for part in parts]),
    )
