"""Encoded image bytes to the uint8 square an encoder takes.

The only place that decodes images. Pillow is called so that nothing is shared between
threads; decoding and resizing run without the interpreter lock.
"""

import io
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from ncaudit.types import Fit, Pixels, Preprocess, Status

# Pillow's own bomb check warns, and warnings cannot be caught per thread; `_open` checks
# the size itself, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

FORMATS = ("JPEG", "PNG", "WEBP")
_JPEGS = ("JPEG", "MPO")
_QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_WHITE = (255, 255, 255)
_ROTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_KINDS = (
    (rb"GIF8", "GIF"),
    (rb"BM", "BMP"),
    (rb"II\*\0|MM\0\*", "TIFF"),
    (rb"%PDF", "PDF"),
    (rb"PK\x03\x04", "ZIP"),
    (rb"\x1f\x8b", "gzip"),
    (rb"....ftyp", "HEIC, AVIF or video"),
    (rb"\s*(<\?xml[^>]*>\s*)?<svg", "SVG"),
    (rb"\s*(<!doctype html|<html|<head|<body)", "HTML"),
    (rb"\s*<\?xml", "XML"),
    (rb"\s*[{\[]", "JSON"),
)


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What an image may measure.

    Attributes:
        max_pixels: Width times height above which nothing is decoded.
        min_side_px: Shortest side below which a picture tells nothing.
    """

    max_pixels: int = 100_000_000
    min_side_px: int = 4


DEFAULT_DECODE_LIMITS = DecodeLimits()


@dataclass(frozen=True, slots=True)
class Decoded:
    """One image, ready for the encoder.

    Attributes:
        pixels: RGB, shape (size_px, size_px, 3).
        width: Of the stored image in px, before any rotation by EXIF.
        height: Likewise.
        format: JPEG, PNG or WEBP, whatever the member's name said.
    """

    pixels: Pixels
    width: int
    height: int
    format: str


class ImageRejectedError(Exception):
    """One image cannot be scored.

    Attributes:
        status: Why, as the audit table shows it.
    """

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def decode_image(
    data: bytes, preprocess: Preprocess, limits: DecodeLimits = DEFAULT_DECODE_LIMITS
) -> Decoded:
    """Decode a JPEG, PNG or WEBP and make it square.

    The first frame is used, turned as EXIF says, on white where it is transparent.
    16-bit values are scaled to 8 bits. Large JPEGs are decoded at a reduced scale that
    keeps at least twice `size_px` on the shortest side. The resize is antialiased
    bicubic and is left out where the size is already right.

    Raises:
        ImageRejectedError: IMAGE_EMPTY, NOT_AN_IMAGE, IMAGE_BOMB, IMAGE_TOO_SMALL,
            IMAGE_TRUNCATED or IMAGE_UNDECODABLE.
        MemoryError: If there is no room; says nothing about the image.

    Source:
        `Fit.CROP` is `Resize(size)` then `CenterCrop(size)` of torchvision, in one step.
    """
    with _opened(data, limits) as image:
        width, height = image.size
        image_format = "JPEG" if image.format in _JPEGS else str(image.format)
        return Decoded(_pixels(image, preprocess), width, height, image_format)


def decode_upright(
    data: bytes, longest_px: int, limits: DecodeLimits = DEFAULT_DECODE_LIMITS
) -> Image.Image:
    """Decode a JPEG, PNG or WEBP for people to look at.

    The first frame, turned as EXIF says, on white where it is transparent, its sides in
    proportion; made smaller where a side is longer than `longest_px`, never larger. The
    image has nothing of the file but its pixels: no metadata, no profile.

    Raises:
        ImageRejectedError: As `decode_image`.
        MemoryError: If there is no room; says nothing about the image.
    """
    with _opened(data, limits) as image:
        if image.format not in _JPEGS:
            image.load()
        rotation = _ROTATIONS.get(_orientation(image))
        image.draft(None, (longest_px, longest_px))
        image.load()
        upright = _colours(image)
        if rotation is not None:
            upright = upright.transpose(rotation)
        if max(upright.size) > longest_px:
            upright.thumbnail((longest_px, longest_px), Image.Resampling.BICUBIC)
        return _on_white(upright)


@contextmanager
def _opened(data: bytes, limits: DecodeLimits) -> Generator[Image.Image]:
    """Open an image of allowed size; whatever its decoder raises becomes a reject."""
    if not data:
        raise ImageRejectedError(Status.IMAGE_EMPTY, "0 bytes")
    _quiet_pillow()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(*image.size, limits)
            yield image
    except (ImageRejectedError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except Exception as error:  # noqa: BLE001 - a codec may raise anything; one image fails, not the run
        raise _undecodable(data, error) from None


def _quiet_pillow() -> None:
    # Pillow warns about broken metadata that does not matter here. warnings.catch_warnings
    # is not thread-safe; a filter for Pillow's modules that stays in front is.
    if warnings.filters[:1] != [_QUIET]:
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _check_size(width: int, height: int, limits: DecodeLimits) -> None:
    if width * height > limits.max_pixels:
        detail = f"{width} x {height} px; the limit is {limits.max_pixels:,} px"
        raise ImageRejectedError(Status.IMAGE_BOMB, detail)
    if min(width, height) < limits.min_side_px:
        raise ImageRejectedError(Status.IMAGE_TOO_SMALL, f"{width} x {height} px")


def _pixels(image: Image.Image, preprocess: Preprocess) -> Pixels:
    size_px = preprocess.size_px
    if image.format not in _JPEGS:
        image.load()  # before the EXIF is read: for PNG that loads too, and hides a failure
    rotation = _ROTATIONS.get(_orientation(image))
    extent = _reduce(image, 2 * size_px) if rotation is None else None
    image.load()
    square = _colours(image)
    if rotation is not None:
        square = square.transpose(rotation)
    if square.size != (size_px, size_px):
        width, height = extent or square.size
        box = (0.0, 0.0, width, height)
        if preprocess.fit == Fit.CROP:
            box = _crop_box(width, height, size_px)
        square = square.resize((size_px, size_px), Image.Resampling.BICUBIC, box=box)
    return np.array(_on_white(square), dtype=np.uint8)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    canvas = Image.new("RGB", image.size, _WHITE)
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def _reduce(image: Image.Image, shortest_px: int) -> tuple[float, float] | None:
    """Ask for a JPEG at 1/2, 1/4 or 1/8, if its shortest side stays long enough.

    Returns:
        Width and height of the picture in px of the reduced image, which itself is
        rounded up; None if nothing is reduced. Does nothing to other formats.
    """
    drafted = image.draft(None, (shortest_px, shortest_px))
    return None if drafted is None else drafted[1][2:]


def _colours(image: Image.Image) -> Image.Image:
    """Return the image as RGB, or as RGBA if any of it may be transparent."""
    if image.mode.startswith("I"):
        # Pillow clips 16-bit grey to 255; the high byte is what it keeps of 16-bit colour.
        high_byte = np.asarray(image).astype(np.uint32) >> 8
        image = Image.fromarray(np.minimum(high_byte, 255).astype(np.uint8))
    transparent = "A" in image.getbands() or "transparency" in image.info
    return image.convert("RGBA" if transparent else "RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - broken EXIF raises anything, and the picture is still good
        return 1


def _crop_box(width: float, height: float, size_px: int) -> tuple[float, float, float, float]:
    """Return the part of the image that resizing and then cropping would leave.

    Cropping first keeps a very long image from being blown up whole.
    """
    shortest = min(width, height)
    resized = (int(size_px * width / shortest), int(size_px * height / shortest))
    left, top = (round((side - size_px) / 2) for side in resized)
    scale_x, scale_y = width / resized[0], height / resized[1]
    right, bottom = (left + size_px) * scale_x, (top + size_px) * scale_y
    return left * scale_x, top * scale_y, min(right, width), min(bottom, height)


def _unidentified(data: bytes) -> ImageRejectedError:
    if _claims(data):
        return _undecodable(data, OSError("the header cannot be read"))
    head = data[:512].lstrip(b"\xef\xbb\xbf")
    for pattern, kind in _KINDS:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return ImageRejectedError(Status.NOT_AN_IMAGE, f"looks like {kind}")
    return ImageRejectedError(Status.NOT_AN_IMAGE, "not a JPEG, PNG or WEBP")


def _undecodable(data: bytes, error: Exception) -> ImageRejectedError:
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    if "text chunk" in detail or "Decompressed data too large" in detail:
        return ImageRejectedError(Status.IMAGE_BOMB, detail)
    if "truncated" in detail.lower() or _is_cut(data):
        return ImageRejectedError(Status.IMAGE_TRUNCATED, detail)
    return ImageRejectedError(Status.IMAGE_UNDECODABLE, detail)


def _claims(data: bytes) -> str:
    """Return the allowed format whose signature the data starts with, or ""."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    return "WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def _is_cut(data: bytes) -> bool:
    """Tell whether the data stops before the end its format asks for."""
    claimed = _claims(data)
    if claimed == "JPEG":
        return b"\xff\xd9" not in data[-1024:]
    if claimed == "PNG":
        return b"IEND" not in data[-1024:]
    return claimed == "WEBP" and len(data) < 8 + int.from_bytes(data[4:8], "little")
