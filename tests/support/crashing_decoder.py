"""Decoders that crash; importable, so that a spawned process finds them."""

import os
import signal
import time

import numpy as np

from ncaudit.shards.decode import (
    DEFAULT_DECODE_LIMITS,
    Decoded,
    DecodeLimits,
    ImageRejectedError,
    decode_image,
)
from ncaudit.types import Preprocess, Status

CRASHES = {
    b"segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    b"abort": os.abort,
    b"exit": lambda: os._exit(3),
    b"hang": lambda: time.sleep(600),
}


def crash_if_told(data: bytes, _preprocess: Preprocess, _limits: DecodeLimits) -> Decoded:
    """Crash on `segfault`, `abort`, `exit` and `hang`; give a number for all else."""
    if data in CRASHES:
        CRASHES[data]()
    if data == b"no room":
        raise MemoryError
    if data == b"bad":
        raise ImageRejectedError(Status.IMAGE_TRUNCATED, "cut")
    return Decoded(np.frombuffer(data, np.uint8).reshape(1, -1), len(data), 1, "PNG")


def crash_on_the_third(data: bytes, preprocess: Preprocess, limits: DecodeLimits) -> Decoded:
    """Crash at the third image of a process, whatever it is."""
    crash_on_the_third.n_calls = getattr(crash_on_the_third, "n_calls", 0) + 1  # type: ignore[attr-defined]
    if crash_on_the_third.n_calls == 3:  # type: ignore[attr-defined]
        os.abort()
    return crash_if_told(data, preprocess, limits)


def crash_on_small(
    data: bytes, preprocess: Preprocess, limits: DecodeLimits = DEFAULT_DECODE_LIMITS
) -> Decoded:
    """Decode, but crash if the picture is 5 px wide."""
    decoded = decode_image(data, preprocess, limits)
    if decoded.width == 5:
        os.kill(os.getpid(), signal.SIGSEGV)
    return decoded
