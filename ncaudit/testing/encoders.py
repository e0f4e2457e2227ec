"""What every encoder promises."""

from dataclasses import replace
from functools import cached_property

import numpy as np

from ncaudit.encoders import encoder_card_digest
from ncaudit.encoders.base import Encoder
from ncaudit.testing.suite import Suite, require
from ncaudit.types import Floats, Pixels

N_IMAGES = 19
_WORDS = [
    "a",
    "brown",
    "dog",
    "runs",
    "over",
    "the",
    "wide",
    "green",
    "field",
    "and",
    "jumps",
    "high",
]
CAPTIONS = tuple(f"{' '.join(_WORDS[: 1 + i % 12])} {i % 23}" for i in range(40))


class EncoderSuite(Suite):
    """Checks of one encoder.

    Args:
        encoder: The encoder, loaded.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @cached_property
    def _pixels(self) -> Pixels:
        return waves(N_IMAGES, self._encoder.preprocess.size_px)

    @cached_property
    def _image_rows(self) -> Floats:
        return self._encoder.encode_images(self._pixels)

    @cached_property
    def _caption_rows(self) -> Floats:
        return self._encoder.encode_captions(CAPTIONS)

    def check_it_has_all_members_of_an_encoder(self) -> None:
        """`Encoder` names them."""
        require(isinstance(self._encoder, Encoder), "a member of Encoder is missing")

    def check_image_embeddings_are_unit_rows(self) -> None:
        """Shape (n, image_dim), float32, norm 1."""
        _require_unit_rows(self._image_rows, N_IMAGES, self._encoder.card.image_dim)

    def check_caption_embeddings_are_unit_rows(self) -> None:
        """Shape (n, caption_dim), float32, norm 1."""
        _require_unit_rows(self._caption_rows, len(CAPTIONS), self._encoder.card.caption_dim)

    def check_an_image_does_not_depend_on_its_batch(self) -> None:
        """Bit for bit: see ncaudit/encoders/batches.py."""
        for start, stop in ((0, 1), (3, 10), (N_IMAGES - 1, N_IMAGES)):
            found = self._encoder.encode_images(self._pixels[start:stop])
            np.testing.assert_array_equal(found, self._image_rows[start:stop])

    def check_an_image_does_not_depend_on_its_place(self) -> None:
        """Bit for bit."""
        found = self._encoder.encode_images(self._pixels[::-1])[::-1]
        np.testing.assert_array_equal(found, self._image_rows)

    def check_an_image_does_not_depend_on_the_number_of_threads(self) -> None:
        """Bit for bit: engines give workers different shares of the cores."""
        import torch

        n_threads = torch.get_num_threads()
        torch.set_num_threads(1 if n_threads > 1 else 2)
        try:
            found = self._encoder.encode_images(self._pixels[:8])
        finally:
            torch.set_num_threads(n_threads)
        np.testing.assert_array_equal(found, self._image_rows[:8])

    def check_a_caption_does_not_depend_on_its_batch(self) -> None:
        """Bit for bit."""
        for start, stop in ((0, 1), (3, 10), (len(CAPTIONS) - 1, len(CAPTIONS))):
            found = self._encoder.encode_captions(CAPTIONS[start:stop])
            np.testing.assert_array_equal(found, self._caption_rows[start:stop])

    def check_captions_keep_their_order(self) -> None:
        """Also where an encoder sorts them by length."""
        found = self._encoder.encode_captions(CAPTIONS[::-1])[::-1]
        np.testing.assert_array_equal(found, self._caption_rows)

    def check_equal_captions_get_equal_rows(self) -> None:
        """And different ones different rows."""
        rows = self._encoder.encode_captions([CAPTIONS[5], CAPTIONS[11], CAPTIONS[5]])
        np.testing.assert_array_equal(rows[0], rows[2])
        require(not np.array_equal(rows[0], rows[1]), "different captions have equal rows")

    def check_nothing_gives_no_rows(self) -> None:
        """Shards without a pair are encoded too."""
        card = self._encoder.card
        images = self._encoder.encode_images(self._pixels[:0])
        captions = self._encoder.encode_captions([])
        require(images.shape == (0, card.image_dim), f"no images give {images.shape}")
        require(captions.shape == (0, card.caption_dim), f"no captions give {captions.shape}")

    def check_the_card_names_the_way_from_file_to_pixels(self) -> None:
        """Other pixels are other embeddings, and another card."""
        said, used = self._encoder.card.preprocess_id, self._encoder.preprocess.preprocess_id
        require(said == used, f"the card says {said}, and {used} is used")

    def check_the_card_changes_with_the_weights(self) -> None:
        """The embedding cache goes by the digest of the card."""
        card = self._encoder.card
        require(bool(card.weights), "the card names no weights")
        other = replace(card, weights=dict.fromkeys(card.weights, "other"))
        same, changed = encoder_card_digest(replace(card)), encoder_card_digest(other)
        require(encoder_card_digest(card) == same != changed, "the digest misses the weights")

    def check_towers_of_one_space_have_one_width(self) -> None:
        """A cosine needs it."""
        card = self._encoder.card
        one_width = card.image_dim == card.caption_dim
        require(one_width or not card.aligned, "aligned towers differ in width")


def waves(n_images: int, size_px: int) -> Pixels:
    """Return pictures of crossing sine waves: the same everywhere and for ever.

    Args:
        n_images: n.
        size_px: Side.

    Returns:
        Shape (n, size_px, size_px, 3), uint8.
    """
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    images = [
        [np.sin((i + 2) * (channel + 1) * x + (i + channel + 3) * y * 2) for channel in range(3)]
        for i in range(n_images)
    ]
    return np.round(127.5 + 127.5 * np.array(images).transpose(0, 2, 3, 1)).astype(np.uint8)


def _require_unit_rows(rows: Floats, n: int, dim: int) -> None:
    require(rows.shape == (n, dim), f"shape {rows.shape}, not {(n, dim)}")
    require(rows.dtype == np.float32, f"{rows.dtype}, not float32")
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
