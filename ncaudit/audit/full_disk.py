"""A full disk is nobody's bug: it ends a run in a way that says how to go on."""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ncaudit.errors import ShardsFailedError


def is_disk_full(error: Exception) -> bool:
    """Tell whether writing failed for want of space."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def full_disk_is_deliberate(out: Path) -> Generator[None]:
    """Turn the error of a full disk into one with a hint.

    Args:
        out: What is written to.

    Raises:
        ShardsFailedError: If there is no space left; what is finished stays.
    """
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise ShardsFailedError(
            f"the disk of {out} is full", hint="Free some space and run the same command again."
        ) from error
