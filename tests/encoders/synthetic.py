"""Images made by formula, so that they are the same everywhere and for ever."""

import numpy as np

from ncaudit.types import Pixels


def waves(n_images: int, size_px: int) -> Pixels:
    """Return n pictures of crossing sine waves, shape (n, size, size, 3), uint8."""
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    images = [
        [np.sin((i + 2) * (channel + 1) * x + (i + channel + 3) * y * 2) for channel in range(3)]
        for i in range(n_images)
    ]
    return np.round(127.5 + 127.5 * np.array(images).transpose(0, 2, 3, 1)).astype(np.uint8)
