"""A signal and an encoder that ncaudit finds by the entry points of this package."""

import re
import zlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from ncaudit.signals.base import ScoredPairs
from ncaudit.types import EncoderCard, Fit, Floats, Pixels, Preprocess

_FILE_NAME = re.compile(r"(img|dsc|image|photo|screenshot)?[\W_\d]*\.?(jpe?g|png|webp)?", re.I)


class LooksLikeFileName:
    """Captions such as `IMG_2041.jpg` say nothing of the picture."""

    meaning = "1 if the caption is no more than a file name, else 0."
    bad: Literal["high", "low", ""] = "high"

    def measure(self, pairs: ScoredPairs) -> Floats:
        """Return 0 or 1 for each caption, shape (n,)."""
        found = [_FILE_NAME.fullmatch(text.strip()) is not None for text in pairs.text]
        return np.array(found, np.float64)


class Thumbnail:
    """Images as 8 x 8 pixels, captions as hashed words: weak, and a whole encoder."""

    card = EncoderCard(
        name="thumbnail",
        aligned=False,
        image_dim=192,
        caption_dim=256,
        preprocess_id=Preprocess(8, Fit.SQUASH).preprocess_id,
        weights={"version": "1"},  # there are none; what changes the numbers changes this
        dtype="float32",
    )
    preprocess = Preprocess(8, Fit.SQUASH)

    def __init__(self, device: str) -> None:
        """Take the device that `--device` names; numpy has no use for it."""

    def encode_images(self, pixels: Pixels) -> Floats:
        """Return the pixels as unit rows, shape (n, 192)."""
        return _unit(pixels.reshape(len(pixels), 192) / 255 + 0.01)

    def encode_captions(self, captions: Sequence[str]) -> Floats:
        """Return counts of hashed words as unit rows, shape (n, 256)."""
        counts = np.full((len(captions), 256), 0.01)
        for row, caption in enumerate(captions):
            for word in caption.lower().split():
                counts[row, zlib.crc32(word.encode()) % 256] += 1
        return _unit(counts)


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float32)
