"""How long the steps of embedding worked, which overlap: what holds the others up."""

import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager

STEPS = ("read", "decode", "encode", "write")


class StepClock:
    """Adds up the seconds of each step; any thread may use it.

    Attributes:
        seconds: Step to seconds of work, summed over threads.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STEPS, 0.0)
        self._lock = threading.Lock()

    @contextmanager
    def of(self, step: str) -> Generator[None]:
        """Count the time of a block for `step`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            with self._lock:
                self.seconds[step] += spent

    def shared_by(self, decode_threads: int) -> dict[str, float]:
        """Return the seconds each step kept its place busy: decoding has several threads."""
        return {
            step: round(spent / (decode_threads if step == "decode" else 1), 3)
            for step, spent in self.seconds.items()
        }


def bottleneck(seconds: Mapping[str, float]) -> str:
    """Return the step that works longest; making any other faster would change little."""
    return max(seconds, key=lambda step: seconds[step])
