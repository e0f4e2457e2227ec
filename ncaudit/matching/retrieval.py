"""How well captions and images find each other: recall at K in both directions."""

from dataclasses import dataclass

import numpy as np

from ncaudit.types import Floats, Ints

CUTOFFS = (1, 5, 10)
_CHUNK_CELLS = 1 << 24  # similarities held at a time: 64 MB of float32


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Recall at 1, 5 and 10 in percent; the larger the pool, the harder it is.

    Attributes:
        image_to_caption: Share of images with one of their captions among the first K.
        caption_to_image: Share of captions with their image among the first K.
        n_images: Images in the pool.
        n_captions: Captions in the pool.
    """

    image_to_caption: tuple[float, float, float]
    caption_to_image: tuple[float, float, float]
    n_images: int
    n_captions: int

    @property
    def rsum(self) -> float:
        """Sum of the six recalls, in [0, 600]."""
        return sum(self.image_to_caption) + sum(self.caption_to_image)


def retrieval(image: Floats, caption: Floats, image_of_caption: Ints) -> Retrieval:
    """Rank all captions for each image, and all images for each caption.

    A wrong candidate that ties with the right one comes first, so that a model which maps
    everything to one point finds nothing.

    Args:
        image: Unit rows, shape (n, k).
        caption: Unit rows in the same space, shape (m, k).
        image_of_caption: Row in `image` of each caption's image, shape (m,); each image has
            a caption at least.

    Raises:
        ValueError: If the shapes do not agree or an image has no caption.

    Source:
        The protocol of Karpathy and Fei-Fei, CVPR 2015; rSum as in Faghri et al., BMVC 2018
        (VSE++).
    """
    if image_of_caption.shape != caption.shape[:1] or image.shape[1] != caption.shape[1]:
        raise ValueError(f"{caption.shape} captions, {image.shape} images do not agree")
    if len(np.unique(image_of_caption)) != len(image):
        raise ValueError("every image needs a caption, and every caption an image")
    return Retrieval(
        _recalls(_ranks_of_captions(image, caption, image_of_caption)),
        _recalls(_ranks_of_images(image, caption, image_of_caption)),
        len(image),
        len(caption),
    )


def _ranks_of_captions(image: Floats, caption: Floats, image_of_caption: Ints) -> Ints:
    """Return how many wrong captions come before the best right one, per image."""
    ranks = np.empty(len(image), np.int64)
    for rows in _chunks(len(image), len(caption)):
        similarity = image[rows] @ caption.T
        own = image_of_caption[None, :] == np.arange(rows.start, rows.stop)[:, None]
        best = np.where(own, similarity, -np.inf).max(1, keepdims=True)
        ranks[rows] = ((similarity >= best) & ~own).sum(1)
    return ranks


def _ranks_of_images(image: Floats, caption: Floats, image_of_caption: Ints) -> Ints:
    """Return how many wrong images come before the right one, per caption."""
    ranks = np.empty(len(caption), np.int64)
    for rows in _chunks(len(caption), len(image)):
        similarity = caption[rows] @ image.T
        own = similarity[np.arange(len(similarity)), image_of_caption[rows]]
        ranks[rows] = (similarity >= own[:, None]).sum(1) - 1
    return ranks


def _chunks(n: int, width: int) -> list[slice]:
    size = max(1, _CHUNK_CELLS // max(1, width))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _recalls(ranks: Ints) -> tuple[float, float, float]:
    one, five, ten = (float(100 * np.mean(ranks < k)) for k in CUTOFFS)
    return one, five, ten
