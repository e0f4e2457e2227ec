"""Real img2dataset, embedding-reader and clip-retrieval's writer, in an environment of their own.

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
# As a whole it wants torch, numpy 1 and pyarrow 15; its writer wants none of them.
ALONE = ("clip-retrieval==2.45.0",)
_INSTALL_S = 1500


def peers() -> Path:
    """Return the folder of programs of the environment."""
    if given := os.environ.get("NCAUDIT_PEERS"):
        return Path(given) / "bin"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "ncaudit-tests" / "-".join(x.replace("==", "-") for x in PACKAGES + ALONE)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _make(folder)
    return folder / "bin"


def _make(folder: Path) -> None:
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet"]
    make = [sys.executable, "-m", "venv", str(folder)]
    for words in (make, [*pip, *PACKAGES], [*pip, "--no-deps", *ALONE]):
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=_INSTALL_S
        )
        if done.returncode:
            _cannot(" ".join(PACKAGES + ALONE), done.stderr.strip())
    (folder / "complete").touch()


def _cannot(what: str, error: str) -> None:
    reason = f"{what} cannot be installed: {error[-300:]}"
    if os.environ.get("CI") or os.environ.get("NCAUDIT_REQUIRE_PEERS"):
        pytest.fail(reason)
    pytest.skip(reason)
