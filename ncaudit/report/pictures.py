"""Pictures for pages: decoded under the audit's limits, made small, encoded anew.

What is sent to a browser is never a byte of the data's own files.
"""

import base64
import io
from dataclasses import dataclass

from ncaudit.shards.decode import ImageRejectedError, decode_upright
from ncaudit.shards.read import image_of
from ncaudit.shards.samples import Sample

THUMBNAIL_PX = 320
SCREEN_PX = 1200
_QUALITY = 72


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as a page shows it.

    Attributes:
        webp: Encoded by us; empty if there is nothing to show.
        problem: Why there is none, or "".
    """

    webp: bytes
    problem: str = ""

    @property
    def data_uri(self) -> str:
        """The picture as a `data:` URI, or ""."""
        if not self.webp:
            return ""
        return f"data:image/webp;base64,{base64.b64encode(self.webp).decode()}"


def picture_of(sample: Sample | None, longest_px: int) -> Picture:
    """Return a sample's image, its longer side at most `longest_px`, as WebP."""
    if sample is None:
        return Picture(b"", "The shard cannot be read, or changed since it was scored.")
    found = image_of(sample)
    if found is None:
        return Picture(b"", "The sample has no image.")
    try:
        image = decode_upright(found[1], longest_px)
    except ImageRejectedError as error:
        return Picture(b"", f"The image cannot be shown: {error.detail}.")
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return Picture(buffer.getvalue())
