"""Member names: the key and suffix they hold, and which of them are not safe."""

import re

MAX_NAME_CHARS = 4096
_SHOWN_CHARS = 1000

# The same two expressions as webdataset.tariterators, so that the groups are the same.
_KEY_AND_SUFFIX = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
_META = re.compile(r"__[^/]*__($|/)")
_HERE = re.compile(r"(\./)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def split_name(name: str) -> tuple[str, str] | None:
    """Split a member's name at the first dot of its base name, as WebDataset does.

    Returns:
        Key, without a leading `./`, and suffix in the letter case of the name; None for
        names that belong to no sample: no dot, a dot in front, or `__meta__`.
    """
    name = _HERE.sub("", name, count=1)
    match = _KEY_AND_SUFFIX.fullmatch(name)
    if match is None or _META.match(name):
        return None
    return match.group(1), match.group(2)


def unsafe_reason(name: str) -> str:
    """Return why a member's name is not to be trusted, or ""."""
    if name.startswith(("/", "\\")):
        return "the name is absolute"
    if ".." in re.split(r"[/\\]", name):
        return "the name has '..'"
    if _CONTROL.search(name):
        return "the name has control characters"
    return "the name is too long" if len(name) > MAX_NAME_CHARS else ""


def printable(key: str) -> str:
    """Return a key as valid text: control characters and bad UTF-8 escaped, cut at 1,000."""
    text = key[:_SHOWN_CHARS].encode("utf-8", "surrogateescape")
    return _CONTROL.sub(
        lambda match: f"\\x{ord(match.group()):02x}", text.decode("utf-8", "backslashreplace")
    )
