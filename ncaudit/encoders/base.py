"""What an encoder is."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ncaudit.types import EncoderCard, Floats, Pixels, Preprocess


@runtime_checkable
class Encoder(Protocol):
    """Two frozen towers that turn pixels and captions into unit vectors."""

    @property
    def card(self) -> EncoderCard:
        """Identity of the encoder, with the digests of its weights."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """How files become the pixels that `encode_images` takes."""
        ...

    def encode_images(self, pixels: Pixels) -> Floats:
        """Embed images.

        Args:
            pixels: RGB, shape (n, size_px, size_px, 3), uint8.

        Returns:
            Unit rows, shape (n, image_dim), float32.
        """
        ...

    def encode_captions(self, captions: Sequence[str]) -> Floats:
        """Embed captions.

        Returns:
            Unit rows in the order given, shape (n, caption_dim), float32.
        """
        ...
