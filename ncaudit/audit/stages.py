"""What a use case tells about itself while it works: named stages and how long each took."""

import time
from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class StageProgress(Protocol):
    """Whoever shows progress; values only, so that the use cases print nothing."""

    def stage(self, name: str, total: int | None = None, unit: str = "pairs") -> None:
        """Start the next stage, which ends the one before."""
        ...

    def advance(self, k: int = 1) -> None:
        """Say that `k` more units of the stage are done."""
        ...


class Stages:
    """Passes progress on and measures the time of each stage.

    Args:
        shown: Where progress goes, or None.

    Attributes:
        seconds: Stage to seconds, for the stages that have ended.
        steps: Step of embedding to the seconds it worked; steps overlap, and workers too.
    """

    def __init__(self, shown: StageProgress | None = None) -> None:
        self._shown = shown
        self._name = ""
        self._started = 0.0
        self.seconds: dict[str, float] = {}
        self.steps: dict[str, float] = {}

    def stage(self, name: str, total: int | None = None, unit: str = "pairs") -> None:
        """Start the next stage, which ends the one before."""
        self.finish()
        self._name, self._started = name, time.monotonic()
        if self._shown:
            self._shown.stage(name, total, unit)

    def advance(self, k: int = 1) -> None:
        """Say that `k` more units of the stage are done."""
        if self._shown and k:
            self._shown.advance(k)

    def add_steps(self, seconds: Mapping[str, float]) -> None:
        """Add what the steps of embedding one shard took."""
        for step, spent in seconds.items():
            self.steps[step] = self.steps.get(step, 0.0) + spent

    def note(self, text: str) -> None:
        """Say something about the stage, to who has a method `note` for it."""
        take_note = getattr(self._shown, "note", None)
        if take_note is not None:
            take_note(text)

    def finish(self) -> None:
        """End the last stage."""
        if self._name:
            spent = time.monotonic() - self._started
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + spent
            self._name = ""
