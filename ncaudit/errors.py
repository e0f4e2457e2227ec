"""Everything ncaudit raises on purpose, and the exit code each error becomes.

NcauditError
├── ConfigError        2  a setting is wrong or two settings disagree
├── InputError         3  the shards cannot be found, opened or trusted
├── ShardsFailedError  4  the run ended, but some shards failed
├── OutputExistsError  5  the output folder is not ours to write
├── FitError           6  too few or degenerate pairs to fit a model on
├── WeightsError       7  encoder or model weights are missing or not the pinned ones
└── InterruptedRunError 130  stopped by a signal; resumable
"""

from typing import ClassVar


class NcauditError(Exception):
    """Base of every deliberate error.

    Attributes:
        hint: One imperative sentence that tells the user what to do next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(NcauditError):
    """A setting is wrong, or two settings disagree."""

    exit_code = 2


class InputError(NcauditError):
    """The shards cannot be found, opened or trusted."""

    exit_code = 3


class ShardsFailedError(NcauditError):
    """The run finished, but some shards failed or could only be read in part."""

    exit_code = 4


class OutputExistsError(NcauditError):
    """The output folder holds another run, or files that are not ours."""

    exit_code = 5


class FitError(NcauditError):
    """There are too few pairs to fit a model on, or they are degenerate."""

    exit_code = 6


class WeightsError(NcauditError):
    """Weights are not installed, cannot be read, or are not the pinned ones."""

    exit_code = 7


class InterruptedRunError(NcauditError):
    """The run was stopped by a signal; the same command goes on where it stopped."""

    exit_code = 130


def first_line(error: BaseException) -> str:
    """Return the first line of what another library says, or the kind of error if it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]
