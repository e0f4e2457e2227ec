"""Wherever the work is done, and whoever dies, the bytes are the same."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.audits import digests, rows, score as score_in, summary, write_striped
from tests.support.shards import pair, write_shard
from tests.support.toy_encoder import striped


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, toys: Path) -> Path:
    """Shards and an audit of them that was done in one process."""
    folder = tmp_path_factory.mktemp("whole")
    write_striped(folder, n_shards=4, n_pairs=55)
    assert toys.is_dir()
    done = score(folder, folder / "audit", "--workers", 1)
    assert done.exit_code == 0, done.output
    return folder


def score(folder: Path, out: Path, *words: object, encoder: str = "toy-aligned") -> Any:
    return score_in(folder, *words, "--out", out, encoder=encoder)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_gives_the_same_bytes(
    whole: Path, tmp_path: Path, workers: int
) -> None:
    done = score(whole, tmp_path / "audit", "--workers", workers)
    assert done.exit_code == 0, done.output
    assert digests(tmp_path / "audit") == digests(whole / "audit")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_more_workers_go_on_with_the_run_of_one(whole: Path, tmp_path: Path) -> None:
    assert score(whole, tmp_path / "audit", "--workers", 1).exit_code == 0
    (tmp_path / "audit/run.json").unlink()
    (tmp_path / "audit/scores/1.parquet").unlink()
    (tmp_path / "audit/embeddings/3/image.npy").unlink()
    assert score(whole, tmp_path / "audit", "--workers", 2).exit_code == 0
    assert digests(tmp_path / "audit") == digests(whole / "audit")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("toys")
def test_a_shard_that_kills_its_workers_is_named_and_the_others_are_scored(
    tmp_path: Path,
) -> None:
    for number in range(2):
        write_shard(tmp_path / f"shards/{number}.tar", striped(20, seed=number)[0])
    write_shard(tmp_path / "shards/2.tar", [("a", pair("red", "a deadly caption"))])
    done = score(tmp_path, tmp_path / "audit", "--workers", 2, encoder="toy-deadly")
    assert list(summary(tmp_path)["defects"]) == ["2"]
    assert [row["status"] for row in rows(tmp_path)] == ["scored"] * 40 + ["shard_unreadable"]
    run = json.loads((tmp_path / "audit/run.json").read_text())
    assert [shard["sha256"] == "" for shard in run["shards"]] == [False, False, True]
    assert "ended abruptly" in done.output


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_ray_nodes_give_the_same_bytes(whole: Path, tmp_path: Path, two_nodes: str) -> None:
    done = score(whole, tmp_path / "audit", "--engine", "ray", "--address", two_nodes, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["counts"]["pairs"] == 220
    assert digests(tmp_path / "audit") == digests(whole / "audit")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_ray_worker_that_is_killed_is_survived(tmp_path: Path, two_nodes: str) -> None:
    write_shard(tmp_path / "shards/0.tar", striped(20)[0])
    write_shard(tmp_path / "shards/1.tar", [("a", pair("red", "a deadly caption"))])
    where = ["--engine", "ray", "--address", two_nodes]
    score(tmp_path, tmp_path / "audit", *where, encoder="toy-deadly")
    assert list(summary(tmp_path)["defects"]) == ["1"]
    assert [row["status"] for row in rows(tmp_path)] == ["scored"] * 20 + ["shard_unreadable"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("rank", "size"), [("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")]
)
def test_two_ranks_give_the_same_bytes(whole: Path, tmp_path: Path, rank: str, size: str) -> None:
    words = ["score", whole / "shards", "-o", tmp_path / "audit", "--encoder", "toy-aligned"]
    command = [sys.executable, "-m", "ncaudit", *map(str, words), "--quiet", "--json"]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": path, rank: str(index), size: "2"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    told = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert json.loads(told[0])["counts"]["scored"] == 220
    assert told[1] == ""
    assert digests(tmp_path / "audit") == digests(whole / "audit")


def test_an_unknown_engine_is_a_wrong_setting(whole: Path, tmp_path: Path) -> None:
    done = score(whole, tmp_path / "audit", "--engine", "loca")
    assert done.exit_code == 2
    assert "Did you mean 'local'?" in done.output
