"""The encoder that comes with the package and needs no network: two unaligned towers.

EfficientNet-lite for images, all-MiniLM-L6-v2 for captions. On CUDA the towers run under
bfloat16 autocast; that road has never been run by the authors.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ncaudit.devices import has_fast_bfloat16
from ncaudit.encoders import efficientnet, minilm
from ncaudit.encoders.distinct import encode_distinct
from ncaudit.encoders.efficientnet import LITE0, LITE2, Variant
from ncaudit.types import EncoderCard, Floats, Pixels, Preprocess

# What `bundled` means.
DEFAULT_VARIANT = LITE0


def load_default(device: str) -> "BundledEncoder":
    """Load the encoder named `bundled`."""
    return BundledEncoder("bundled", DEFAULT_VARIANT, device)


def load_lite0(device: str) -> "BundledEncoder":
    """Load the bundled encoder with EfficientNet-lite0."""
    return BundledEncoder("bundled-lite0", LITE0, device)


def load_lite2(device: str) -> "BundledEncoder":
    """Load the bundled encoder with EfficientNet-lite2."""
    return BundledEncoder("bundled-lite2", LITE2, device)


class BundledEncoder:
    """EfficientNet-lite and MiniLM behind the `Encoder` protocol.

    The weight files are found and checked at once; a tower is loaded when it is first used.

    Args:
        name: Name on the card.
        variant: The image tower.
        device: "cpu" or "cuda".

    Raises:
        WeightsError: If a weight file is missing or is not the pinned one.
    """

    def __init__(self, name: str, variant: Variant, device: str) -> None:
        files = (variant.weights, minilm.WEIGHTS, minilm.TOKENIZER, minilm.CONFIG)
        self._paths = {file: file.locate() for file in files}
        self._name = name
        self._variant = variant
        self._device = device
        self._mixed = device == "cpu" and has_fast_bfloat16()

    @property
    def preprocess(self) -> Preprocess:
        """How files become the pixels of the image tower."""
        return self._variant.preprocess

    @cached_property
    def card(self) -> EncoderCard:
        """Identity of the two towers."""
        return EncoderCard(
            name=self._name,
            aligned=False,
            image_dim=efficientnet.FEATURE_DIM,
            caption_dim=minilm.FEATURE_DIM,
            preprocess_id=self.preprocess.preprocess_id,
            weights={file.name: file.sha256 for file in self._paths},
            dtype=self._dtype(),
        )

    def encode_images(self, pixels: Pixels) -> Floats:
        """Embed RGB pixels (n, size, size, 3) as unit rows (n, 1280), float32."""
        if len(pixels) == 0:
            return np.empty((0, efficientnet.FEATURE_DIM), np.float32)
        return self._images.encode(pixels)

    def encode_captions(self, captions: Sequence[str]) -> Floats:
        """Embed captions as unit rows (n, 384), float32; equal captions are encoded once."""
        if len(captions) == 0:
            return np.empty((0, minilm.FEATURE_DIM), np.float32)
        return encode_distinct(captions, self._captions.encode)

    def _dtype(self) -> str:
        if self._device == "cuda":
            return "bfloat16"
        return "float32, images bfloat16 after block 2" if self._mixed else "float32"

    @cached_property
    def _images(self) -> efficientnet.ImageTower:
        weights = self._paths[self._variant.weights]
        model = efficientnet.load_model(self._variant.architecture, weights)
        return efficientnet.ImageTower(model, self._device, mixed=self._mixed)

    @cached_property
    def _captions(self) -> minilm.CaptionTower:
        model = minilm.load_model(self._paths[minilm.WEIGHTS], self._paths[minilm.CONFIG])
        tokenizer = minilm.load_tokenizer(self._paths[minilm.TOKENIZER])
        return minilm.CaptionTower(model, tokenizer, self._device)
