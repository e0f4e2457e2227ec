"""The values that cross package borders. All frozen, all picklable, no I/O."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Shapes are named in docstrings: n pairs, d dims, k neighbours, b batch, r repeats.
Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]
Bools: TypeAlias = NDArray[np.bool_]
Pixels: TypeAlias = NDArray[np.uint8]


class Status(StrEnum):
    """What became of one pair: scored, or the reason why it could not be.

    The value is what the `status` column of audit.csv shows.
    """

    SCORED = "scored"
    # the sample
    DUPLICATE_KEY = "duplicate_key"
    SHARD_TRUNCATED = "shard_truncated"
    SHARD_UNREADABLE = "shard_unreadable"
    MEMBER_TOO_LARGE = "member_too_large"
    UNSAFE_NAME = "unsafe_name"
    # the image
    IMAGE_MISSING = "image_missing"
    IMAGE_EMPTY = "image_empty"
    NOT_AN_IMAGE = "not_an_image"
    IMAGE_TRUNCATED = "image_truncated"
    IMAGE_UNDECODABLE = "image_undecodable"
    IMAGE_BOMB = "image_bomb"
    IMAGE_TOO_SMALL = "image_too_small"
    DECODER_CRASH = "decoder_crash"
    # the caption
    CAPTION_MISSING = "caption_missing"
    CAPTION_EMPTY = "caption_empty"
    CAPTION_NOT_TEXT = "caption_not_text"
    CAPTION_TOO_LONG = "caption_too_long"
    JSON_INVALID = "json_invalid"
    # the embedding
    EMBEDDING_INVALID = "embedding_invalid"
    EMBEDDING_MISSING = "embedding_missing"


class Verdict(StrEnum):
    """What the audit says should happen to a scored pair."""

    KEEP = "keep"
    REVIEW = "review"
    REMATCH = "rematch"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class ShardRef:
    """One input shard.

    Attributes:
        path: Local path or fsspec URL.
        name: Path under the common root without `.tar`: the `shard` column, and
            the relative name of everything written for this shard.
        n_bytes: Size of the tar file.
        modified: Modification time or ETag as text; with `n_bytes`, a cheap first
            test of whether the shard changed. The content digest decides.
    """

    path: str
    name: str
    n_bytes: int
    modified: str


@dataclass(frozen=True, slots=True)
class ShardTally:
    """Counts for one shard: every pair is either scored or rejected.

    Attributes:
        shard: The `shard` column.
        n_pairs: Rows of this shard's table.
        n_scored: Pairs that could be embedded.
        rejects: Reject reason to count; sums to `n_pairs - n_scored`.
        defect: Why the shard could only be read in part, or "".
    """

    shard: str
    n_pairs: int
    n_scored: int
    rejects: dict[str, int]
    defect: str = ""

    def __post_init__(self) -> None:
        n_rejected = sum(self.rejects.values())
        if self.n_pairs != self.n_scored + n_rejected:
            raise ValueError(
                f"{self.shard}: {self.n_pairs} pairs, but {self.n_scored} scored + {n_rejected}"
            )


class Fit(StrEnum):
    """How an image is made square before it is encoded."""

    CROP = "crop"  # shortest side to size, then the centre square (CLIP's way)
    SQUASH = "squash"  # both sides to size; nothing of the picture is lost


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How pixels become an encoder's input, up to the uint8 square.

    Attributes:
        size_px: Side of the square.
        fit: How the square is made; resizing is antialiased bicubic either way.
    """

    size_px: int
    fit: Fit

    @property
    def preprocess_id(self) -> str:
        """Name of this road from file to pixels; part of the encoder card."""
        return f"pillow-bicubic-{self.fit}-{self.size_px}"


@dataclass(frozen=True, slots=True)
class EncoderCard:
    """Identity of an encoder: same card, same embeddings (up to rounding).

    Attributes:
        name: What the user typed for `--encoder`.
        aligned: True if image and caption embeddings share one space (CLIP-like).
        image_dim: Width of an image embedding.
        caption_dim: Width of a caption embedding; equals `image_dim` if aligned.
        preprocess_id: See `Preprocess.preprocess_id`.
        weights: File name to sha256 of every weight file.
        dtype: Numeric type of the forward pass, e.g. "float32" or "bfloat16".
    """

    name: str
    aligned: bool
    image_dim: int
    caption_dim: int
    preprocess_id: str
    weights: dict[str, str]
    dtype: str
