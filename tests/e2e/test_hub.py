"""`hf://` paths, read through huggingface_hub from a stand-in for the hub on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.hub import hub
from tests.support.shards import pair, tar_bytes

pytestmark = pytest.mark.slow
CODE = """
import json, sys
from ncaudit.files import digest_file
from ncaudit.shards.discover import discover_shards
shards = discover_shards([sys.argv[1]])
print(json.dumps([[x.path, x.name, x.n_bytes, bool(x.modified), digest_file(x.path)] for x in shards]))
"""
SHARDS = {
    f"data/{name}.tar": tar_bytes([(name, pair("red", name))]) for name in ("train-0", "train-1")
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with hub({**SHARDS, "README.md": b"# A data set"}) as address:
        yield address


def looked_up(endpoint: str, pattern: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # huggingface_hub asks for the address when it is imported.
    own = {"HF_ENDPOINT": endpoint, "NO_PROXY": "127.0.0.1", "HF_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", CODE, pattern],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "pattern",
    [
        "hf://datasets/user/repo",
        "hf://datasets/user/repo/data",
        "hf://datasets/user/repo/data/train-*.tar",
        "hf://datasets/user/repo/data/train-{0..1}.tar",
    ],
)
def test_shards_of_a_repository_are_found_and_read(
    endpoint: str, pattern: str, tmp_path: Path
) -> None:
    done = looked_up(endpoint, pattern, tmp_path)
    assert done.returncode == 0, done.stderr
    expected = [
        [f"hf://datasets/user/repo/{path}", path[5:-4], len(tar), True, sha256(tar).hexdigest()]
        for path, tar in SHARDS.items()
    ]
    assert json.loads(done.stdout) == expected


def test_a_repository_that_is_not_there_is_an_input_error(endpoint: str, tmp_path: Path) -> None:
    done = looked_up(endpoint, "hf://datasets/user/nothing/data", tmp_path)
    assert "InputError: hf://datasets/user/nothing/data does not exist" in done.stderr
