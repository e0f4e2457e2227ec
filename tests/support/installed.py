"""Packages as if installed: their entry points are known here and to started processes."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def installed(
    folder: Path, name: str, groups: Mapping[str, Mapping[str, str]], code: Path | None = None
) -> Iterator[None]:
    """Let a package be found whose entry points are `groups`; `code` holds its modules."""
    about = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, entries in groups.items()
        for line in (f"[{group}]", *(f"{key} = {target}" for key, target in entries.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    places = [str(place) for place in (folder, code) if place is not None]
    sys.path += places
    try:
        yield
    finally:
        for place in places:
            sys.path.remove(place)
