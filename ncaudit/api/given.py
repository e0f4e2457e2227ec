"""The arguments of a Python call as settings take them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

AnyPath: TypeAlias = str | Path
Shards: TypeAlias = AnyPath | Sequence[AnyPath]


def given(
    options: Mapping[str, Any],
    *,
    shards: Shards = (),
    **named: object,
) -> dict[str, object]:
    """Return the options and the named arguments in one, without those that are not given.

    Args:
        options: Further keyword arguments of the call.
        shards: One pattern or several; nothing counts as not given.
        **named: Arguments with a name of their own; None counts as not given.
    """
    patterns = [shards] if isinstance(shards, str | Path) else list(shards)
    found = {name: value for name, value in named.items() if value is not None}
    if patterns:
        found["shards"] = [str(pattern) for pattern in patterns]
    return dict(options) | found
