"""On what a benchmark was run: machine, versions, commit."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ncaudit
from ncaudit.devices import describe_device, usable_cores

_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "faiss-cpu", "faiss-gpu")


def machine(device: str) -> dict[str, Any]:
    """Return what a reader needs to judge times and to repeat the run, JSON-ready."""
    return {
        "commit": _commit(Path(ncaudit.__file__).parents[1]),
        "cores": usable_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "processor": describe_device()["name"],
        "device": describe_device(device),
        "python": platform.python_version(),
        "versions": {"ncaudit": ncaudit.__version__}
        | {package: found for package in _PACKAGES if (found := _version(package))},
    }


def _commit(folder: Path) -> str:
    """Return the commit of the checkout the package runs from, or "" if it is none."""
    git = shutil.which("git")
    if git is None or not (folder / ".git").exists():
        return ""
    command = [git, "-C", str(folder), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
