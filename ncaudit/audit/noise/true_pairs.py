"""Which image and caption belong together: the truth that planted noise is compared with."""

import numpy as np

from ncaudit.matching.pairs import Pairs
from ncaudit.types import Bools, Ints


class TruePairs:
    """The set of (image, caption) of pairs that are taken for right.

    A caption that occurs with several images is true for each of them.

    Args:
        pairs: Pairs before any noise.
    """

    def __init__(self, pairs: Pairs) -> None:
        self._image, image = np.unique(pairs.image_id, return_inverse=True)
        self._caption, caption = np.unique(pairs.caption_id, return_inverse=True)
        self._pair = np.unique(image.astype(np.int64) * len(self._caption) + caption)

    def hold(self, image_id: Ints, caption_id: Ints) -> Bools:
        """Tell which (image, caption) belong together, shape (n,)."""
        image, image_known = _find(self._image, image_id)
        caption, caption_known = _find(self._caption, caption_id)
        _, known = _find(self._pair, image * len(self._caption) + caption)
        held: Bools = known & image_known & caption_known
        return held


def _find(values: Ints, wanted: Ints) -> tuple[Ints, Bools]:
    """Return where each wanted value is, and whether it is there at all."""
    at = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return at, values[at] == wanted
