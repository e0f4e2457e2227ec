"""Real img2dataset, embedding-reader and clip-retrieval's writer, in an environment of their own.

`NCAUDIT_PEERS` names it: the folder of a virtual environment that `.ci/peers` makes. Without
it these tests are skipped.
"""

import os
from pathlib import Path

import pytest


def peers() -> Path:
    """Return the folder of programs of the environment."""
    given = os.environ.get("NCAUDIT_PEERS")
    if not given:
        pytest.skip("no environment with img2dataset: NCAUDIT_PEERS=$(.ci/peers) makes one")
    return Path(given) / "bin"
