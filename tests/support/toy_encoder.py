"""An encoder that is fast and honest: it sees stripes of colour and reads colour words."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ncaudit.types import EncoderCard, Fit, Floats, Pixels, Preprocess
from tests.support.shards import Samples

COLOURS = {
    "red": (220, 30, 30),
    "green": (20, 150, 40),
    "blue": (30, 50, 220),
    "yellow": (240, 220, 30),
    "black": (10, 10, 10),
    "white": (250, 250, 250),
    "orange": (250, 140, 20),
    "purple": (130, 30, 160),
    "pink": (250, 150, 200),
    "brown": (120, 70, 30),
}
PLACES = ("left", "middle", "right")
_N_FEATURES = len(COLOURS) * len(PLACES)
_SIZE_PX = 24


@dataclass(frozen=True)
class ToyEncoder:
    """Features of the stripes; if not aligned, each tower turns them its own way."""

    aligned: bool

    @property
    def card(self) -> EncoderCard:
        name = "toy-aligned" if self.aligned else "toy"
        dims = (_N_FEATURES, _N_FEATURES) if self.aligned else (40, 32)
        return EncoderCard(name, self.aligned, *dims, "toy", {"toy": "0" * 64}, "float32")

    @property
    def preprocess(self) -> Preprocess:
        return Preprocess(_SIZE_PX, Fit.SQUASH)

    def encode_images(self, pixels: Pixels) -> Floats:
        palette = np.array(list(COLOURS.values()), np.float32)
        width = _SIZE_PX // len(PLACES)
        stripes = [pixels[:, :, at * width : (at + 1) * width] for at in range(len(PLACES))]
        means = np.stack([stripe.mean((1, 2)) for stripe in stripes], 1)
        near = np.exp(-np.linalg.norm(means[:, :, None] - palette, axis=-1) / 40)
        return self._turned(near.reshape(len(pixels), -1), seed=1, dim=40)

    def encode_captions(self, captions: Sequence[str]) -> Floats:
        found = np.full((len(captions), _N_FEATURES), 0.02)
        for row, caption in enumerate(captions):
            words = caption.replace(",", " ").split()
            for at, place in enumerate(PLACES):
                for colour, word in enumerate(COLOURS):
                    if f"{word} {place}" in " ".join(words):
                        found[row, at * len(COLOURS) + colour] = 1.0
        return self._turned(found, seed=2, dim=32)

    def _turned(self, features: Floats, *, seed: int, dim: int) -> Floats:
        if not self.aligned:
            rng = np.random.default_rng(seed)
            features = features @ rng.normal(size=(_N_FEATURES, dim))
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        return unit.astype(np.float32)


def load_toy(_device: str) -> ToyEncoder:
    return ToyEncoder(aligned=False)


def load_toy_aligned(_device: str) -> ToyEncoder:
    return ToyEncoder(aligned=True)


def stripes(names: Sequence[str]) -> bytes:
    """Return a JPEG of three stripes."""
    pixels = np.zeros((24, 24, 3), np.uint8)
    for at, name in enumerate(names):
        pixels[:, at * 8 : (at + 1) * 8] = COLOURS[name]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def describe(names: Sequence[str]) -> str:
    """Return the caption of three stripes."""
    return ", ".join(f"{name} {place}" for name, place in zip(names, PLACES, strict=True))


def striped(n: int, *, seed: int = 0, noise: float = 0.2) -> tuple[Samples, set[str]]:
    """Return samples of striped pictures, and the keys of those with another's caption."""
    rng = np.random.default_rng(seed)
    names = [tuple(rng.choice(list(COLOURS), 3, replace=False)) for _ in range(n)]
    wrong = set(rng.choice(n, int(n * noise), replace=False).tolist())
    samples = []
    for row, own in enumerate(names):
        told = names[(row + n // 2) % n] if row in wrong else own
        members = {"jpg": stripes(own), "txt": describe(told).encode()}
        samples.append((f"{seed:02d}{row:05d}", members))
    return samples, {f"{seed:02d}{row:05d}" for row in wrong}
