"""Progress for programs: a function that hears how far the work is."""

from collections.abc import Callable
from typing import TypeAlias

from ncaudit.audit.stages import StageProgress

# Called with the stage, how many units of it are done, and how many there are, or None.
OnProgress: TypeAlias = Callable[[str, int, int | None], None]


class CallingProgress:
    """Passes the progress of the use cases on to a function.

    Args:
        on_progress: Called when a stage starts and after each step of it.
    """

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._name = ""
        self._n_done = 0
        self._total: int | None = None

    def stage(self, name: str, total: int | None = None, unit: str = "pairs") -> None:  # noqa: ARG002 - the protocol's
        """Start the next stage."""
        self._name, self._n_done, self._total = name, 0, total
        self._on_progress(name, 0, total)

    def advance(self, k: int = 1) -> None:
        """Count `k` more units."""
        self._n_done += k
        self._on_progress(self._name, self._n_done, self._total)


def shown_by(on_progress: OnProgress | None) -> StageProgress | None:
    """Return what the use cases take for a function, None for None."""
    return None if on_progress is None else CallingProgress(on_progress)
