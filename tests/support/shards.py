"""Small WebDataset shards for tests, made on the fly."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

Samples = Iterable[tuple[str, Mapping[str, bytes]]]


def jpeg(color: str | tuple[int, int, int], size: tuple[int, int] = (32, 32)) -> bytes:
    """Return a JPEG of one colour."""
    return image_bytes(Image.new("RGB", size, color), "JPEG")


def image_bytes(image: Image.Image, image_format: str, **options: object) -> bytes:
    """Return `image` encoded; `options` go to Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def json_bytes(value: object) -> bytes:
    """Return `value` as a json member's content."""
    return json.dumps(value).encode()


def pair(color: str, caption: str) -> dict[str, bytes]:
    """Return the members of a sample: a picture of one colour and its caption."""
    return {"jpg": jpeg(color), "txt": caption.encode()}


def tar_bytes(samples: Samples, *, tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    """Return a tar of (key, {suffix: content}), in the order given."""
    members = [
        (f"{key}.{suffix}", content)
        for key, by_suffix in samples
        for suffix, content in by_suffix.items()
    ]
    return tar_of(members, tar_format=tar_format)


def tar_of(
    members: Iterable[tuple[str | tarfile.TarInfo, bytes]],
    *,
    tar_format: int = tarfile.USTAR_FORMAT,
) -> bytes:
    """Return a tar of (name or header, content); the headers are reproducible."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as tar:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.type == tarfile.REGTYPE:
                info.size = len(content)
            info.mtime = info.mtime or 1_700_000_000
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write_shard(path: Path, samples: Samples, *, truncate_at: int | None = None) -> Path:
    """Write a shard of (key, {suffix: content}), gzip if the name says so.

    Args:
        path: Where; missing folders are made.
        samples: Keys may repeat; suffixes are written in the order given.
        truncate_at: Length in bytes of the file that is left; None for all of it.
    """
    content = tar_bytes(samples)
    if path.name.endswith((".gz", ".tgz")):
        content = gzip.compress(content, mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content[:truncate_at])
    return path
