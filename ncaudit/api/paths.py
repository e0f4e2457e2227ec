"""Paths that cannot be used: the fault of a setting, not of the program."""

import errno
from collections.abc import Generator
from contextlib import contextmanager

from ncaudit.errors import ConfigError

_BY_PATH = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    }
)


@contextmanager
def refusing_bad_paths() -> Generator[None]:
    """Turn what the system says of a path into an error with a hint.

    Raises:
        ConfigError: If a path cannot be used: a file where a folder is wanted, no permission,
            a name that is too long.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _BY_PATH or error.filename is None:
            raise
        shown = str(error.filename)
        raise ConfigError(
            f"{shown} cannot be used: {error.strerror}",
            hint="Check the paths that were given, and who may write there.",
        ) from error
