"""Shards by folder, glob, brace range, list file or URL.

The only place that knows how people name shards; everything after it takes `ShardRef`.
"""

import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
from braceexpand import braceexpand
from fsspec.implementations.local import LocalFileSystem

from ncaudit.errors import InputError
from ncaudit.files import is_url, mask_secrets, open_read, refuse_shell
from ncaudit.types import ShardRef

SUFFIXES = (".tar", ".tar.gz", ".tgz")
REJECTED_FOLDER = "rejected"
_N_LOOKUPS = 16
_MAGIC = re.compile(r"[*?\[]")
_NAME = re.compile(r"(.+?)(\.tar\.gz|\.tgz|\.tar)?", re.DOTALL)
_CHANGE_MARKS = (
    "ETag",
    "etag",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
    "created",
    "blob_id",  # the Hugging Face hub's
)
# What reads each kind of URL, where fsspec itself does not.
_PACKAGES = {"hf": "ncaudit[hf]", "s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs"}
_HINT = "Point at a folder or a .tar, or quote the glob."


def discover_shards(patterns: Sequence[str]) -> list[ShardRef]:
    """Find the shards that the patterns name, sorted by path, each once.

    A pattern is a folder (searched to any depth for `.tar`, `.tar.gz` and `.tgz`), a
    file, a glob, a brace range such as `{00000..00041}.tar`, or `@list`, a text file
    with one of these per line. Local or any fsspec URL. Searching a folder or a glob
    leaves out hidden files and folders and those named `rejected`, where `clean` puts
    what it drops.

    Raises:
        InputError: If nothing is found, if a file that was named does not exist or
            cannot be looked up, or if two shards would get the same name.
    """
    found = {path: info for pattern in patterns for path, info in _resolve(pattern)}
    if not found:
        where = ", ".join(mask_secrets(pattern) for pattern in patterns) or "an empty list"
        raise InputError(f"no .tar shards in {where}", hint=_HINT)
    paths = sorted(found)
    return [
        ShardRef(path, name, int(found[path]["size"] or 0), _modified(path, found[path]))
        for path, name in zip(paths, _names(paths), strict=True)
    ]


_Found = list[tuple[str, dict[str, Any]]]


def _resolve(pattern: str) -> _Found:
    refuse_shell(pattern)
    if not pattern.strip():  # an unset variable of a shell, and not the current folder
        raise InputError("a name of shards is empty", hint=f"{_HINT} The current folder is `.`.")
    if pattern.startswith("@"):
        return _resolve_all(_listed(pattern[1:]))
    return _resolve_named(pattern)


def _resolve_named(pattern: str) -> _Found:
    shown = mask_secrets(pattern)
    try:
        return _look_up(pattern)
    except FileNotFoundError:
        raise InputError(f"{shown} does not exist", hint=_HINT) from None
    except InputError:
        raise
    except ImportError as error:
        raise _unknown_kind(pattern, error) from error
    except (OSError, ValueError) as error:
        why = " ".join(str(error).replace(pattern, shown).split())
        raise InputError(
            f"{shown} cannot be looked up: {why}",
            hint="Check the spelling; a URL needs the fsspec package of its protocol.",
        ) from error
    except Exception as error:
        # A file system's own error, with all of the URL in its text: 401, 403 and the like.
        if not is_url(pattern):
            raise
        why = f"{type(error).__name__} {getattr(error, 'status', '')}".rstrip()
        hint = "Check the address, the network and the credentials."
        raise InputError(f"{shown} cannot be looked up: {why}", hint=hint) from None


def _unknown_kind(pattern: str, error: ImportError) -> InputError:
    kind = pattern.partition("://")[0]
    package = _PACKAGES.get(kind)
    return InputError(
        f"{mask_secrets(pattern)} cannot be looked up: nothing here reads {kind}:// URLs",
        hint=f"Install what does: pip install '{package}'" if package else f"{error}.",
    )


def _resolve_all(patterns: Iterable[str]) -> _Found:
    # Each look-up of a URL waits for the network.
    with ThreadPoolExecutor(_N_LOOKUPS) as pool:
        return [entry for found in pool.map(_resolve, patterns) for entry in found]


def _listed(path: str) -> list[str]:
    try:
        with open_read(path) as file:
            lines = file.read().decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"the list {mask_secrets(path)} cannot be read: {error}",
            hint="After @ comes a text file with one folder, glob or .tar per line.",
        ) from error
    named = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if any(line.startswith("@") for line in named):
        raise InputError(
            f"the list {mask_secrets(path)} names another list",
            hint="Name the other list on the command line too.",
        )
    return named


def _look_up(pattern: str) -> _Found:
    fs, path = _filesystem(pattern)
    if (info := _info(fs, path)) is not None:
        return _search(fs, path) if info["type"] == "directory" else [_file(fs, info)]
    if "{" in pattern:
        expanded = list(braceexpand(pattern))
        if expanded != [pattern]:
            return _resolve_all(expanded)
    if not _MAGIC.search(path):
        raise FileNotFoundError(path)
    matches = fs.glob(path, detail=True)
    root = posixpath.dirname(path[: _MAGIC.search(path).start()])  # type: ignore[union-attr]
    found = _shards(fs, root, matches)
    if not found:
        raise InputError(f"no .tar shards match {mask_secrets(pattern)}", hint=_HINT)
    return found


def _filesystem(pattern: str) -> tuple[Any, str]:
    if not is_url(pattern):
        return LocalFileSystem(), str(_expanded(pattern).absolute())
    if "::" in pattern:
        raise ValueError("chained URLs are not supported")
    fs, path = fsspec.core.url_to_fs(pattern)
    return fs, str(path)


def _expanded(pattern: str) -> Path:
    try:
        return Path(pattern).expanduser()
    except RuntimeError as error:  # no user of that name
        raise FileNotFoundError(pattern) from error


def _info(fs: Any, path: str) -> dict[str, Any] | None:
    try:
        info: dict[str, Any] = fs.info(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return info


def _search(fs: Any, folder: str) -> _Found:
    found = _shards(fs, folder, _find(fs, folder, {os.path.realpath(folder)}))
    if not found:
        shown = mask_secrets(_path(fs, folder))
        raise InputError(f"no .tar shards in {shown}", hint=_HINT)
    return found


def _find(fs: Any, folder: str, seen: set[str]) -> dict[str, dict[str, Any]]:
    """List the files in a folder, through links too; `seen` ends loops of links."""
    infos: dict[str, dict[str, Any]] = {}
    for path, info in fs.find(folder, detail=True).items():
        target = (_info(fs, path) if info.get("islink") else None) or info
        if target["type"] != "directory":
            infos[path] = target
        elif (real := os.path.realpath(path)) not in seen:
            seen.add(real)
            infos |= _find(fs, path, seen)
    return infos


def _shards(fs: Any, root: str, infos: dict[str, dict[str, Any]]) -> _Found:
    return [
        _file(fs, (_info(fs, path) if info.get("islink") else None) or info)
        for path, info in infos.items()
        if path.endswith(SUFFIXES) and info["type"] != "directory" and _is_wanted(path, root)
    ]


def _is_wanted(path: str, root: str) -> bool:
    *folders, name = posixpath.relpath(path, root or ".").split("/")
    hidden = any(part.startswith(".") and part != ".." for part in (*folders, name))
    return not hidden and REJECTED_FOLDER not in folders


def _file(fs: Any, info: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if info["type"] != "file":
        shown = mask_secrets(_path(fs, info["name"]))
        raise InputError(f"{shown} is not a regular file", hint=_HINT)
    return _path(fs, info["name"]), info


def _path(fs: Any, path: str) -> str:
    return path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))


def _modified(path: str, info: dict[str, Any]) -> str:
    if not is_url(path):
        return str(Path(path).stat().st_mtime_ns)
    return next((str(info[mark]) for mark in _CHANGE_MARKS if info.get(mark)), "")


def _names(paths: Sequence[str]) -> list[str]:
    """Return each path under the longest common folder, without its tar suffix."""
    parts = [_without_query(path).split("/") for path in paths]
    folders = [path_parts[:-1] for path_parts in parts]
    shared = zip(*folders, strict=False)
    n_common = next(
        (depth for depth, names in enumerate(shared) if len(set(names)) > 1),
        min(map(len, folders)),
    )
    names: dict[str, str] = {}
    for path, path_parts in zip(paths, parts, strict=True):
        name = _stem("/".join(part for part in path_parts[n_common:] if part), path)
        if name in names:
            both = f"{mask_secrets(names[name])} and {mask_secrets(path)}"
            raise InputError(
                f"{both} would both be called {name!r}", hint="Score them apart, or rename one."
            )
        names[name] = path
    return list(names)


def _without_query(path: str) -> str:
    # The query of a signed URL is a secret, and names become files and cells.
    return mask_secrets(path) if path.startswith(("http://", "https://")) else path


def _stem(name: str, path: str) -> str:
    match = _NAME.fullmatch(name)
    stem = match.group(1) if match else name
    # Output files are called after the shard.
    if ".." in name.split("/") or not all(c.isprintable() for c in name):
        raise InputError(f"{mask_secrets(path)!r} is not a name for a shard", hint="Rename it.")
    return stem
