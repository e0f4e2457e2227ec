"""Whatever the workers, the order of the shards and the interruption: one result, byte for byte."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.audits import digests, ncaudit, score
from tests.support.cleaning import contents
from tests.support.shards import write_shard
from tests.support.toy_encoder import striped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
N_SHARDS = 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, toys: Path) -> Path:
    """Shards, an audit of one process that proposes captions, and what was cleaned with it."""
    folder = tmp_path_factory.mktemp("whole")
    assert toys.is_dir()
    for number in range(N_SHARDS):
        write_shard(folder / f"shards/{number}.tar", striped(100, seed=number, noise=0.4)[0])
    done = score(folder, "--workers", 1, encoder="toy-aligned")
    assert done.exit_code == 0, done.output
    clean(folder / "audit", folder / "cleaned")
    return folder


def clean(run: Path, out: Path) -> None:
    done = ncaudit("clean", run, "-o", out, "--apply-rematch", "--reshard", 60, "-q")
    assert done.exit_code == 0, done.output


def shards(folder: Path, order: str) -> list[str]:
    return [str(folder / f"shards/{number}.tar") for number in order]


def kill_in_the_middle(words: list[str], out: Path) -> None:
    """Start a run and kill it when some of its shards are embedded."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(
        [sys.executable, "-m", "ncaudit", *words], env={**os.environ, "PYTHONPATH": path}
    )
    while process.poll() is None and len([*out.glob("embeddings/*/shard.json")]) < 2:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (out / "run.json").exists()


WORKERS = [["--workers", "1"], ["--workers", "2"], ["--workers", "4"]]


@pytest.mark.parametrize("where", [*WORKERS, ["--engine", "ray"]], ids=" ".join)
def test_workers_order_and_interruption_change_no_byte(
    whole: Path, tmp_path: Path, where: list[str], request: pytest.FixtureRequest
) -> None:
    if "ray" in where:
        where = [*where, "--address", request.getfixturevalue("two_nodes")]
    out = tmp_path / "audit"
    words = ["-o", str(out), "--encoder", "toy-aligned", "--quiet", *where]
    kill_in_the_middle(["score", *shards(whole, "2031"), *words], out)
    done = ncaudit("score", *shards(whole, "3102"), *words)
    assert done.exit_code == 0, done.output
    assert digests(out) == digests(whole / "audit")
    clean(out, tmp_path / "cleaned")
    # It names the run by the digest of its run.json, in which the seconds differ.
    for folder in (tmp_path, whole):
        (folder / "cleaned/clean.json").unlink(missing_ok=True)
    assert contents(tmp_path / "cleaned") == contents(whole / "cleaned")
