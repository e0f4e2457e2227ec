"""What is different between two runs, one line per setting, for people."""

from collections.abc import Iterator
from typing import Any

_MAX_NAMES = 10
_MAX_CHARS = 80
_MISSING = object()


def differences(found: Any, wanted: Any) -> list[str]:
    """Compare two identities of plain JSON values.

    Returns:
        Lines like `seed: 0 -> 1`; nested settings as `fit.seed`. For lists of named
        objects, the names that were added, removed or changed. Empty if nothing differs.
    """
    return list(_compare("", found, wanted))


def _compare(where: str, found: Any, wanted: Any) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in [*wanted, *(name for name in found if name not in wanted)]:
            inner = f"{where}.{name}" if where else str(name)
            yield from _compare(inner, found.get(name, _MISSING), wanted.get(name, _MISSING))
    elif _is_named(found) and _is_named(wanted):
        yield from _compare_named(where, _by_name(found), _by_name(wanted))
    elif found != wanted:
        yield f"{where or 'identity'}: {_shown(found)} -> {_shown(wanted)}"


def _compare_named(
    where: str, found: dict[str, dict[str, Any]], wanted: dict[str, dict[str, Any]]
) -> Iterator[str]:
    shared = [name for name in wanted if name in found]
    kinds = {
        "added": [name for name in wanted if name not in found],
        "removed": [name for name in found if name not in wanted],
        "changed": [name for name in shared if not _same(found[name], wanted[name])],
    }
    if not any(kinds.values()) and list(found) != list(wanted):
        yield f"{where}: the order changed"
    for kind, names in kinds.items():
        if names:
            more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            yield f"{where}: {kind} {', '.join(names[:_MAX_NAMES])}{more}"


def _same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    # A copy of a shard has another time and path; only its content decides.
    if "sha256" in found and "sha256" in wanted:
        return bool(found["sha256"] == wanted["sha256"])
    return found == wanted


def _is_named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, dict) and "name" in v for v in value)


def _by_name(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(entry["name"]): entry for entry in entries}


def _shown(value: Any) -> str:
    text = "(not set)" if value is _MISSING else repr(value)
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}..."
