"""Linear heads: from frozen embeddings to unit vectors of one matching space."""

from dataclasses import dataclass

import numpy as np

from ncaudit.matching.pairs import Pairs
from ncaudit.types import Floats

_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """One linear map per tower, after centring.

    Attributes:
        aligned: True if the towers share a space; then images need no power transform.
        image_mean: Shape (d_image,), float32.
        image_map: Shape (d_image, k), float32.
        caption_mean: Shape (d_caption,), float32.
        caption_map: Shape (d_caption, k), float32.
    """

    aligned: bool
    image_mean: Floats
    image_map: Floats
    caption_mean: Floats
    caption_map: Floats

    def project_images(self, image: Floats) -> Floats:
        """Map frozen image embeddings (n, d_image) to unit rows (n, k), float32."""
        features = image_features(image, aligned=self.aligned)
        return unit_rows((features - self.image_mean) @ self.image_map)

    def project_captions(self, caption: Floats) -> Floats:
        """Map frozen caption embeddings (n, d_caption) to unit rows (n, k), float32."""
        return unit_rows((caption.astype(np.float32) - self.caption_mean) @ self.caption_map)

    def project(self, pairs: Pairs) -> tuple[Floats, Floats]:
        """Map both sides of n pairs, a chunk at a time.

        Returns:
            Unit rows of images and captions, each of shape (n, k), float32.
        """
        width = self.image_map.shape[1]
        image = np.empty((len(pairs), width), np.float32)
        caption = np.empty((len(pairs), width), np.float32)
        for at, chunk in pairs.chunks():
            image[at] = self.project_images(chunk.image)
            caption[at] = self.project_captions(chunk.caption)
        return image, caption


def image_features(image: Floats, *, aligned: bool) -> Floats:
    """Return what the image head is applied to, shape (n, d_image), float32, unit rows.

    Pooled features of a classification network are skewed: the signed square root
    (power normalisation, Perronnin et al., ECCV 2010) evens them out. Embeddings of a
    contrastive encoder are left as they are.
    """
    wide = image.astype(np.float32)
    return wide if aligned else unit_rows(np.sign(wide) * np.sqrt(np.abs(wide)))


def unit_rows(rows: Floats) -> Floats:
    """Scale rows to unit length; a zero row stays zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Floats = rows / np.maximum(lengths, _TINY)
    return unit
