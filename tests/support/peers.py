"""Real img2dataset and embedding-reader, in an environment of their own.

It is made once per machine, in the user's cache. `NCAUDIT_PEERS` names one that is there
already: the folder of a virtual environment. Where it cannot be made, tests are skipped; but
they fail where `CI` or `NCAUDIT_REQUIRE_PEERS` is set.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("img2dataset==1.47.0", "embedding-reader==1.8.1")
_INSTALL_S = 1500


def peers() -> Path:
    """Return the folder of programs of the environment."""
    if given := os.environ.get("NCAUDIT_PEERS"):
        return Path(given) / "bin"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "ncaudit-tests" / "-".join(x.replace("==", "-") for x in PACKAGES)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _make(folder)
    return folder / "bin"


def _make(folder: Path) -> None:
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *PACKAGES]
    for words in ([sys.executable, "-m", "venv", str(folder)], pip):
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=_INSTALL_S
        )
        if done.returncode:
            _cannot(" ".join(PACKAGES), done.stderr.strip())
    (folder / "complete").touch()


def _cannot(what: str, error: str) -> None:
    reason = f"{what} cannot be installed: {error[-300:]}"
    if os.environ.get("CI") or os.environ.get("NCAUDIT_REQUIRE_PEERS"):
        pytest.fail(reason)
    pytest.skip(reason)
