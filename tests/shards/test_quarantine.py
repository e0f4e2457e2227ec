"""Images that kill their decoder: found, named, and no loss to the others."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from ncaudit.shards.decode import Decoded, ImageRejectedError, decode_image
from ncaudit.shards.quarantine import DecodeTask, IsolatedDecoder
from ncaudit.types import Fit, Preprocess, Status
from tests.support.crashing_decoder import crash_if_told, crash_on_the_third
from tests.support.shards import jpeg

PREPROCESS = Preprocess(24, Fit.CROP)
TASK = DecodeTask(preprocess=PREPROCESS, decode=crash_if_told)


@pytest.fixture(scope="module")
def decode() -> Iterator[IsolatedDecoder]:
    with IsolatedDecoder(TASK, timeout_s=30) as decoder:
        yield decoder


def outcome(found: Decoded) -> bytes:
    return found.pixels.tobytes()


def outcome_of(decode: IsolatedDecoder, data: bytes) -> Any:
    try:
        return outcome(decode(data))
    except ImageRejectedError as error:
        return error.status


def test_the_images_that_kill_the_decoder_are_found_and_the_others_decoded(
    decode: IsolatedDecoder,
) -> None:
    crash = Status.DECODER_CRASH
    data = [b"a", b"segfault", b"b", b"bad", b"exit", b"c"]
    assert [outcome_of(decode, each) for each in data] == [
        b"a", crash, b"b", Status.IMAGE_TRUNCATED, crash, b"c",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"segfault", "the decoder was killed by SIGSEGV"),
        (b"abort", "the decoder was killed by SIGABRT"),
        (b"exit", "the decoder ended with exit code 3"),
    ],
)
def test_the_reason_says_how_the_decoder_died(
    decode: IsolatedDecoder, data: bytes, why: str
) -> None:
    before = decode.n_deaths
    with pytest.raises(ImageRejectedError) as caught:
        decode(data)
    assert (caught.value.status, caught.value.detail) == (Status.DECODER_CRASH, why)
    assert decode.n_deaths == before + 2


def test_an_image_that_hangs_the_decoder_is_given_up() -> None:
    with (
        IsolatedDecoder(TASK, timeout_s=0.2) as decode,
        pytest.raises(ImageRejectedError, match=r"no answer within 0\.2 s"),
    ):
        decode(b"hang")


def test_no_image_is_blamed_for_a_crash_that_does_not_come_back() -> None:
    task = DecodeTask(preprocess=PREPROCESS, decode=crash_on_the_third)
    with IsolatedDecoder(task) as decode:
        assert [decode(data).pixels.tobytes() for data in (b"a", b"b", b"c", b"d")] == [
            b"a", b"b", b"c", b"d",
        ]  # fmt: skip
        assert decode.n_deaths == 1


def test_want_of_memory_is_no_fault_of_the_image(decode: IsolatedDecoder) -> None:
    with pytest.raises(MemoryError):
        decode(b"no room")
    assert outcome(decode(b"after")) == b"after"


def test_pixels_are_those_of_decoding_in_this_process() -> None:
    data = jpeg("red", (40, 30))
    here = decode_image(data, PREPROCESS)
    with IsolatedDecoder(DecodeTask(preprocess=PREPROCESS)) as decode:
        there = decode(data)
        np.testing.assert_array_equal(there.pixels, here.pixels)
        assert (there.width, there.height, there.format) == (40, 30, "JPEG")
        with pytest.raises(ImageRejectedError, match="looks like PDF"):
            decode(b"%PDF-1.7")


def test_pixels_that_nobody_wants_are_not_sent() -> None:
    with IsolatedDecoder(DecodeTask(preprocess=PREPROCESS, with_pixels=False)) as decode:
        found = decode(jpeg("red"))
    assert (found.pixels.size, found.width, found.format) == (0, 32, "JPEG")


def test_threads_may_share_a_decoder(decode: IsolatedDecoder) -> None:
    data = [f"{n}".encode() for n in range(50)]
    with ThreadPoolExecutor(4) as pool:
        assert [outcome(found) for found in pool.map(decode, data)] == data


def test_a_closed_decoder_leaves_no_process_and_starts_another_when_asked() -> None:
    import multiprocessing

    decode = IsolatedDecoder(TASK)
    before = set(multiprocessing.active_children())
    assert outcome(decode(b"a")) == b"a"
    assert set(multiprocessing.active_children()) > before
    decode.close()
    assert set(multiprocessing.active_children()) <= before
    assert outcome(decode(b"b")) == b"b"
    decode.close()
