import pytest
from PIL import Image

from ncaudit.shards.decode import DecodeLimits, ImageRejectedError, decode_upright
from ncaudit.types import Status
from tests.support.shards import image_bytes, jpeg


def test_large_images_keep_their_proportions() -> None:
    assert decode_upright(jpeg("red", (800, 400)), 320).size == (320, 160)


def test_small_images_are_not_made_larger() -> None:
    assert decode_upright(jpeg("red", (30, 20)), 320).size == (30, 20)


def test_images_are_turned_as_exif_says_and_lose_their_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "taken at home"
    data = image_bytes(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    upright = decode_upright(data, 320)
    assert upright.size == (20, 40)
    assert b"taken at home" not in image_bytes(upright, "WEBP")


def test_transparent_parts_are_white() -> None:
    data = image_bytes(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "PNG")
    assert decode_upright(data, 320).getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", Status.IMAGE_EMPTY),
        (b"<html></html>", Status.NOT_AN_IMAGE),
        (jpeg("red", (60, 60))[:500], Status.IMAGE_TRUNCATED),
        (jpeg("red", (100, 100)), Status.IMAGE_BOMB),
    ],
)
def test_the_audit_s_limits_hold(data: bytes, status: Status) -> None:
    with pytest.raises(ImageRejectedError) as caught:
        decode_upright(data, 320, DecodeLimits(max_pixels=5000))
    assert caught.value.status == status
