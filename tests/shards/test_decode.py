import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, PngImagePlugin

from ncaudit.shards.decode import Decoded, DecodeLimits, ImageRejectedError, decode_image
from ncaudit.types import Fit, Preprocess, Status
from tests.support.shards import image_bytes, jpeg

CROP = Preprocess(32, Fit.CROP)
SQUASH = Preprocess(32, Fit.SQUASH)


def decode(data: bytes, preprocess: Preprocess = SQUASH) -> Decoded:
    return decode_image(data, preprocess)


def colour(data: bytes) -> list[int]:
    """Return the pixel in the middle."""
    return [int(value) for value in decode(data).pixels[16, 16]]


def png(image: Image.Image, **options: object) -> bytes:
    return image_bytes(image, "PNG", **options)


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Return smooth random colours, so that a JPEG of them is close to them."""
    small = np.random.default_rng(7).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def rejected(data: bytes, limits: DecodeLimits | None = None) -> tuple[Status, str]:
    with pytest.raises(ImageRejectedError) as caught:
        decode_image(data, CROP, limits or DecodeLimits())
    return caught.value.status, caught.value.detail


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("preprocess", [CROP, SQUASH])
def test_the_three_formats_become_a_square(image_format: str, preprocess: Preprocess) -> None:
    decoded = decode(image_bytes(noise(60, 40), image_format), preprocess)
    assert (decoded.width, decoded.height, decoded.format) == (60, 40, image_format)
    assert (decoded.pixels.shape, decoded.pixels.dtype) == ((32, 32, 3), np.uint8)
    assert decoded.pixels.flags.c_contiguous


def test_the_format_is_sniffed_not_believed() -> None:
    assert decode(image_bytes(noise(40, 40), "WEBP")).format == "WEBP"


@pytest.mark.parametrize("size", [(50, 40), (40, 51), (333, 97), (16, 9), (31, 64)])
def test_crop_is_resize_then_centre_crop(size: tuple[int, int]) -> None:
    image = noise(*size)
    width, height = (int(32 * side / min(size)) for side in size)
    left, top = round((width - 32) / 2), round((height - 32) / 2)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    expected = np.asarray(resized.crop((left, top, left + 32, top + 32))).astype(int)
    assert np.abs(decode(png(image), CROP).pixels - expected).max() <= 1


def test_squash_resizes_both_sides() -> None:
    image = noise(50, 20)
    expected = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(decode(png(image), SQUASH).pixels, expected)


@pytest.mark.parametrize("preprocess", [CROP, SQUASH])
def test_the_right_size_is_left_alone(preprocess: Preprocess) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    np.testing.assert_array_equal(decode(png(image), preprocess).pixels, np.asarray(image))


def test_a_very_long_image_is_not_blown_up() -> None:
    data = png(Image.new("RGB", (60_000, 4), "red"))
    assert decode_image(data, Preprocess(224, Fit.CROP)).pixels.shape == (224, 224, 3)


@pytest.mark.parametrize("preprocess", [CROP, SQUASH])
@pytest.mark.parametrize("size", [(1000, 700), (515, 1031), (129, 640)])
def test_a_large_jpeg_at_reduced_scale_stays_close_to_the_full_one(
    size: tuple[int, int], preprocess: Preprocess
) -> None:
    data = image_bytes(noise(*size), "JPEG", quality=95, subsampling=0)
    with Image.open(io.BytesIO(data)) as full:
        expected = decode(png(full.convert("RGB")), preprocess).pixels
    decoded = decode(data, preprocess)
    difference = np.abs(decoded.pixels - expected.astype(int))
    assert difference.mean() < 0.5
    assert difference.max() <= 6
    assert (decoded.width, decoded.height) == size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("RGB", (32, 32), "black")
    image.paste((255, 0, 0), (0, 0, 16, 16))  # the stored picture is red at its top left
    pixels = decode(png(image, exif=exif)).pixels
    corner = {
        1: (0, 0),
        2: (0, 1),
        3: (1, 1),
        4: (1, 0),
        5: (0, 0),
        6: (0, 1),
        7: (1, 1),
        8: (1, 0),
    }
    row, column = corner[orientation]
    assert pixels[row * 31, column * 31].tolist() == [255, 0, 0]
    assert pixels[31 - row * 31, 31 - column * 31].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0nonsense",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04abc\0\0\0\0\0",
    ],
)
def test_broken_exif_does_not_matter(exif: bytes) -> None:
    for image_format in ("JPEG", "PNG", "WEBP"):
        data = image_bytes(Image.new("RGB", (40, 40), "red"), image_format, exif=exif)
        assert decode(data).pixels[16, 16, 0] > 240
    # Without a JFIF header Pillow looks for the resolution in the EXIF.
    data = image_bytes(Image.new("RGB", (40, 40), "red"), "JPEG", exif=exif)
    n_jfif = 2 + 2 + int.from_bytes(data[4:6], "big")
    assert decode(data[:2] + data[n_jfif:]).pixels[16, 16, 0] > 240


def test_cmyk_jpegs_are_converted() -> None:
    red, green, blue = colour(image_bytes(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG"))
    assert red > 200
    assert max(green, blue) < 60


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    values = np.full((40, 40), 0x8000, dtype=np.uint16)
    assert colour(png(Image.fromarray(values))) == [128, 128, 128]
    values[:] = 0xFFFF
    assert colour(png(Image.fromarray(values))) == [255, 255, 255]
    values[:] = 300
    assert colour(png(Image.fromarray(values))) == [1, 1, 1]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGBA", (40, 40), (255, 0, 0, 0)), [255, 255, 255]),
        (Image.new("RGBA", (40, 40), (0, 0, 0, 51)), [204, 204, 204]),
        (Image.new("LA", (40, 40), (0, 0)), [255, 255, 255]),
        (Image.new("L", (40, 40), 90), [90, 90, 90]),
        (Image.new("1", (40, 40), 1), [255, 255, 255]),
        (Image.new("RGB", (40, 40), "blue").quantize(4), [0, 0, 255]),
    ],
)
def test_transparency_is_laid_on_white(image: Image.Image, expected: list[int]) -> None:
    assert colour(png(image)) == expected


@pytest.mark.parametrize("transparency", [0, b"\0", b"\x80\x40"])
def test_a_transparent_palette_is_laid_on_white(transparency: int | bytes) -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    expected = 127 if transparency == b"\x80\x40" else 255
    assert colour(png(image, transparency=transparency)) == [expected] * 3


def test_a_transparent_colour_is_laid_on_white() -> None:
    assert colour(png(Image.new("RGB", (40, 40), "red"), transparency=(255, 0, 0))) == [255] * 3


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_the_first_frame_of_an_animation_counts(image_format: str) -> None:
    frames = [Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")]
    data = image_bytes(
        frames[0], image_format, save_all=True, append_images=frames[1:], lossless=True
    )
    red, _, blue = colour(data)
    assert red > 240
    assert blue < 10


def test_a_multi_picture_jpeg_is_a_jpeg() -> None:
    frames = [Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")]
    data = image_bytes(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert decode(data).format == "JPEG"
    assert colour(data)[0] > 240


def test_no_bytes_is_empty() -> None:
    assert rejected(b"")[0] == Status.IMAGE_EMPTY


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\n <HTML><body>404", "HTML"),
        (b"\xef\xbb\xbf<html>", "HTML"),
        (b"%PDF-1.4", "PDF"),
        (b'<?xml version="1.0"?>\n<svg>', "SVG"),
        (b"<svg xmlns=''>", "SVG"),
        (b"<?xml version='1.0'?><Error/>", "XML"),
        (b'{"error": 404}', "JSON"),
        (b"PK\x03\x04zip", "ZIP"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (image_bytes(Image.new("RGB", (9, 9)), "GIF"), "GIF"),
        (image_bytes(Image.new("RGB", (9, 9)), "BMP"), "BMP"),
        (image_bytes(Image.new("RGB", (9, 9)), "TIFF"), "TIFF"),
        (b"random bytes", "not a JPEG, PNG or WEBP"),
        (b"x", "not a JPEG, PNG or WEBP"),
    ],
)
def test_other_content_is_not_an_image(data: bytes, kind: str) -> None:
    status, detail = rejected(data)
    assert status == Status.NOT_AN_IMAGE
    assert kind in detail


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.9])
def test_a_cut_image_is_truncated(image_format: str, part: float) -> None:
    image = Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = image_bytes(image, image_format)
    assert rejected(data[: int(len(data) * part)])[0] == Status.IMAGE_TRUNCATED


def test_a_damaged_image_is_undecodable() -> None:
    data = bytearray(png(noise(64, 64)))
    start = data.index(b"IDAT") + 4
    data[start : start + 40] = bytes(40)
    assert rejected(bytes(data))[0] == Status.IMAGE_UNDECODABLE


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def test_an_image_of_too_many_pixels_is_a_bomb_and_is_not_decoded() -> None:
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    assert rejected(data) == (
        Status.IMAGE_BOMB,
        "50000 x 50000 px; the limit is 100,000,000 px",
    )
    assert rejected(jpeg("red", (50, 50)), DecodeLimits(max_pixels=2499))[0] == Status.IMAGE_BOMB


def test_png_text_that_explodes_is_a_bomb() -> None:
    text = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(4 << 20)))
    data = png(Image.new("RGB", (40, 40)))
    assert rejected(data[:33] + text + data[33:])[0] == Status.IMAGE_BOMB
    many = PngImagePlugin.PngInfo()
    for _ in range(70):
        many.add_text("key", "x" * (1 << 20), zip=True)
    assert rejected(png(Image.new("RGB", (40, 40)), pnginfo=many))[0] == Status.IMAGE_BOMB


@pytest.mark.parametrize("size", [(1, 1), (3, 100), (100, 3)])
def test_a_side_under_4_px_is_too_small(size: tuple[int, int]) -> None:
    assert rejected(jpeg("red", size)) == (Status.IMAGE_TOO_SMALL, f"{size[0]} x {size[1]} px")


def test_threads_give_the_same_pixels_and_no_warning() -> None:
    broken = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03"
    data = image_bytes(noise(300, 200), "JPEG", exif=broken)
    expected = decode(data).pixels
    with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor(4) as pool:
        warnings.simplefilter("always")
        for decoded in pool.map(decode, [data] * 40):
            np.testing.assert_array_equal(decoded.pixels, expected)
    assert caught == []


def test_the_quiet_filter_is_added_once_and_stays_in_front() -> None:
    warnings.simplefilter("error")
    decode(jpeg("red"))
    assert warnings.filters[0][0] == "ignore"
    n_filters = len(warnings.filters)
    decode(jpeg("red"))
    assert len(warnings.filters) == n_filters


seeds = st.sampled_from(
    [
        image_bytes(noise(40, 30), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0"),
        image_bytes(noise(40, 30), "JPEG", progressive=True),
        image_bytes(noise(40, 30), "PNG"),
        image_bytes(noise(40, 30).quantize(8), "PNG", transparency=0),
        image_bytes(noise(40, 30, "RGBA"), "WEBP"),
    ]
)


@st.composite
def damaged_images(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(seeds))
    for _ in range(draw(st.integers(1, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | damaged_images())
def test_any_bytes_decode_or_are_rejected(data: bytes) -> None:
    try:
        shape = decode_image(data, SQUASH, DecodeLimits(max_pixels=1_000_000)).pixels.shape
    except ImageRejectedError as error:
        shape, detail = (32, 32, 3), error.detail
    else:
        detail = "none"
    assert shape == (32, 32, 3)
    assert detail
    assert "\n" not in detail
