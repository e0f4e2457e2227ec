"""What all suites have in common."""

_PREFIX = "check_"


class Suite:
    """A set of checks: the methods whose names start with `check_`."""

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the checks."""
        return [name for name in dir(cls) if name.startswith(_PREFIX)]

    def run(self) -> None:
        """Run every check.

        Raises:
            AssertionError: If a promise is broken.
        """
        for name in self.names():
            getattr(self, name)()


def require(kept: bool, promise: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raise if a promise is not kept.

    Args:
        kept: Whether it is.
        promise: What was promised.

    Raises:
        AssertionError: If it is not.
    """
    if not kept:
        raise AssertionError(promise)
