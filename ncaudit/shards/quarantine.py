"""Decoding where a crash of the decoder costs one image and not the run.

Decoding in the process that reads is fastest, but a codec that crashes takes that process
with it. So a shard is decoded there first; only a shard that ended its process is done again
with an `IsolatedDecoder`, which decodes in a process of its own and finds the image to blame.
"""

import json
import multiprocessing
import resource
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np

from ncaudit.shards.decode import (
    DEFAULT_DECODE_LIMITS,
    Decoded,
    DecodeLimits,
    ImageRejectedError,
    decode_image,
)
from ncaudit.types import Preprocess, Status

Name = TypeVar("Name")
Decode: TypeAlias = Callable[[bytes, Preprocess, DecodeLimits], Decoded]

IMAGE_TIMEOUT_S = 60.0
_START_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 5.0
_N_ATTEMPTS = 2
_READY = b"ready"
# A forked child would inherit locks held by threads that it does not have.
_SPAWN = multiprocessing.get_context("spawn")


class DecoderStartError(RuntimeError):
    """The decoding process does not start; says nothing about any image."""


class _DecoderDiedError(Exception):
    """The process died, or was killed because it did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeTask:
    """What the decoding process is told once.

    Attributes:
        preprocess: Size and form of the square.
        limits: What an image may measure.
        decode: What decodes; a function that a spawned process can import.
        with_pixels: Whether the pixels are wanted; without them `Decoded.pixels` has
            shape (0,).
    """

    preprocess: Preprocess
    limits: DecodeLimits = DEFAULT_DECODE_LIMITS
    decode: Decode = decode_image
    with_pixels: bool = True


class IsolatedDecoder:
    """Decodes images, one at a time, in a spawned process that may die.

    The image during which the process dies is tried a second time, as the first one of a
    new process: what killed it may have come from outside, or from an image before. Dies
    the process again, that image is to blame. Threads that share a decoder take turns. What
    the process sends is never unpickled. Not for use in a daemonic process of
    multiprocessing, which may have no children.

    Args:
        task: How to decode.
        timeout_s: Seconds after which a process that does not answer is killed.

    Attributes:
        n_deaths: How often the process died.
    """

    def __init__(self, task: DecodeTask, *, timeout_s: float = IMAGE_TIMEOUT_S) -> None:
        self.n_deaths = 0
        self._task = task
        self._timeout_s = timeout_s
        self._turn = threading.Lock()
        self._process: Any = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def __call__(self, data: bytes) -> Decoded:
        """Decode one image.

        Raises:
            ImageRejectedError: As `decode_image` does; DECODER_CRASH if the image ends or
                hangs the process that decodes it.
            MemoryError: If there is no room; says nothing about the image.
            DecoderStartError: If no process can be started.
        """
        why = ""
        with self._turn:
            for _ in range(_N_ATTEMPTS):
                try:
                    return _decoded(self._answer(data))
                except _DecoderDiedError as died:
                    self.n_deaths += 1
                    why = str(died)
        raise ImageRejectedError(Status.DECODER_CRASH, why)

    def start(self) -> None:
        """Start the process now instead of with the first image.

        Raises:
            DecoderStartError: If it does not start.
        """
        with self._turn:
            if self._pipe is None:
                self._start()

    def close(self) -> None:
        """End the process; the next image would start another."""
        with self._turn:
            self._stop()

    def _answer(self, data: bytes) -> bytes:
        pipe = self._pipe or self._start()
        try:
            return self._ask(pipe, data)
        except BaseException:
            # After Ctrl-C too: half an answer must not be taken for that of the next image.
            self._stop()
            raise

    def _ask(self, pipe: Connection, data: bytes) -> bytes:
        try:
            pipe.send_bytes(data)
            if pipe.poll(self._timeout_s):
                return pipe.recv_bytes()
        except (EOFError, OSError):
            raise _DecoderDiedError(self._cause()) from None
        raise _DecoderDiedError(f"the decoder gave no answer within {self._timeout_s:g} s")

    def _start(self) -> Connection:
        mine, its = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_serve, args=(its, self._task), daemon=True)
        try:
            process.start()
            its.close()  # only then does its death end the pipe
            if not mine.poll(_START_TIMEOUT_S) or mine.recv_bytes() != _READY:
                raise DecoderStartError("the decoding process does not answer")
        except (EOFError, OSError) as error:
            raise DecoderStartError("the decoding process does not start") from error
        self._process, self._pipe = process, mine
        return mine

    def _cause(self) -> str:
        self._process.join(_END_TIMEOUT_S)
        code = self._process.exitcode
        if code is None:
            return "the decoder closed its pipe"
        if code >= 0:
            return f"the decoder ended with exit code {code}"
        return f"the decoder was killed by {_signal_name(-code)}"

    def _stop(self) -> None:
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.kill()
            process.join()
            process.close()


def _serve(pipe: Connection, task: DecodeTask) -> None:
    """Decode what comes down the pipe until it ends; runs in the spawned process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe.send_bytes(_READY)
    while True:
        try:
            data = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send_bytes(_reply(data, task))


def _reply(data: bytes, task: DecodeTask) -> bytes:
    """Return a JSON header, a NUL and the pixels."""
    header: dict[str, object]
    pixels = b""
    try:
        decoded = task.decode(data, task.preprocess, task.limits)
        header = {"size": [decoded.width, decoded.height], "format": decoded.format}
        if task.with_pixels:
            header["shape"] = decoded.pixels.shape
            pixels = decoded.pixels.tobytes()
    except ImageRejectedError as error:
        header = {"status": str(error.status), "detail": error.detail}
    except MemoryError:
        header = {}
    return json.dumps(header).encode() + b"\0" + pixels


def _decoded(answer: bytes) -> Decoded:
    header_bytes, _, pixels = answer.partition(b"\0")
    header = json.loads(header_bytes)
    if not header:
        raise MemoryError("no room to decode an image")
    if "status" in header:
        raise ImageRejectedError(Status(header["status"]), header["detail"])
    square = np.frombuffer(pixels, np.uint8).reshape(header.get("shape", (0,)))
    width, height = header["size"]
    return Decoded(square, width, height, header["format"])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
