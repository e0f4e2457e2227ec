"""ncaudit doctor."""

import platform
import resource
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ncaudit import __version__
from ncaudit.cli._console import exit_codes, say, say_json, show_table
from ncaudit.cli._options import JsonOption
from ncaudit.errors import NcauditError

# What ncaudit stands on; faiss comes under two names, of which one is installed.
_PACKAGES = (
    "torch",
    "open_clip_torch",
    "timm",
    "transformers",
    "faiss-cpu",
    "faiss-gpu",
    "numpy",
    "pandas",
    "pyarrow",
    "webdataset",
    "safetensors",
    "scipy",
    "scikit-learn",
    "pillow",
    "fsspec",
    "ray",
)


def doctor(json: JsonOption = False) -> None:
    """Show versions, devices, encoders, weights and the state of the system. Writes nothing."""
    with exit_codes(resumable=False):
        sections = {
            "versions": _versions(),
            "device": _checked(_device),
            "encoders": _checked(_encoders),
            "system": _checked(_system),
        }
        if json:
            say_json(sections)
            return
        for title, found in sections.items():
            say()
            show_table(found, title=title)


def _versions() -> Mapping[str, object]:
    return {"ncaudit": __version__, "python": platform.python_version()} | {
        package: _version(package) for package in _PACKAGES
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _device() -> Mapping[str, object]:
    from ncaudit.devices import describe_device, resolve_device

    return describe_device(resolve_device("auto"))


def _encoders() -> Mapping[str, object]:
    from ncaudit.encoders import ENCODERS

    return {name: _weights(name) for name in sorted(ENCODERS.targets())} | {
        "MODEL/PRETRAINED": "any of open_clip; a tag needs the network once, a local file none"
    }


def _weights(name: str) -> str:
    from ncaudit.encoders import load_encoder

    def load() -> Mapping[str, object]:
        card = load_encoder(name, "cpu").card
        return {"state": f"ready, {card.image_dim} and {card.caption_dim} dims, {card.dtype}"}

    found = _checked(load)
    return str(found.get("state") or found["error"])


def _system() -> Mapping[str, object]:
    from ncaudit.audit.free_space import free_bytes

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shared = Path("/dev/shm")  # noqa: S108 - looked at, not written to
    return {
        "free space here": _gigabytes(free_bytes(Path.cwd())),
        "open files": f"{soft:,} of {hard:,}",
        "shared memory": _gigabytes(free_bytes(shared)) if shared.exists() else "none",
        "worker process": _worker(),
    }


def _worker() -> str:
    """Start a worker process as runs do."""
    from ncaudit.shards.quarantine import DecoderStartError, DecodeTask, IsolatedDecoder
    from ncaudit.types import Fit, Preprocess

    began = time.monotonic()
    try:
        with IsolatedDecoder(DecodeTask(preprocess=Preprocess(1, Fit.CROP))) as decoder:
            decoder.start()
    except DecoderStartError as error:
        return f"does not start: {error}"
    return f"starts in {time.monotonic() - began:.1f} s"


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"


def _checked(check: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
    """Return what a check found, or why it could not; a broken install must not end it."""
    try:
        return check()
    except NcauditError as error:
        return {"error": f"{error}. {error.hint}".rstrip()}
    except (ImportError, OSError, RuntimeError, ValueError, AttributeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
