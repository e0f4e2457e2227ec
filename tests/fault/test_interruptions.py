"""Runs that are killed, interrupted, or that lose a row."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ncaudit.audit import score as module
from tests.support.audits import digests, score, write_striped

ROOT = Path(__file__).parents[2]
LAUNCH = (
    "import sys\n"
    "from tests.support.audits import toy_encoders\n"
    "from ncaudit.cli import main\n"
    "sys.argv[0] = '/usr/bin/ncaudit'\n"
    "with toy_encoders():\n"
    "    main()"
)


def start(folder: Path, out: str) -> "subprocess.Popen[str]":
    words = ["score", "shards", "--encoder", "toy-aligned", "-q", "-o", out]
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_striped(folder, 4, 60)
    done = score(folder, encoder="toy-aligned")
    assert done.exit_code == 0, done.output
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_130_and_the_command_to_go_on(whole: Path, number: int) -> None:
    out = f"audit-{number}"
    process = start(whole, out)
    first = whole / out / "embeddings/0/shard.json"
    while not first.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(number)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130, said
    assert f"ncaudit score shards --encoder toy-aligned -q -o {out}" in said
    assert "Traceback" not in said
    assert not list((whole / out).rglob(".tmp-*"))
    done = score(whole, encoder="toy-aligned", out=out)
    assert done.exit_code == 0, done.output
    assert digests(whole / out) == digests(whole / "audit")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_that_are_killed_at_random_points_end_with_the_same_bytes(tmp_path: Path) -> None:
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    # Each stage of score, rematching included, of clean with repairs, and of resharding.
    words = ["--work", tmp_path / "work", "--out", tmp_path / "kill.json", "--tries", "10"]
    done = subprocess.run(
        [sys.executable, ROOT / "examples/bench/kill.py", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "kill.json").read_text())
    assert set(found["n_kills_per_command"]) == {"score", "clean", "clean --reshard"}
    assert found["n_different"] == 0


def one_row_less(table: dict[str, Any]) -> dict[str, Any]:
    return {name: values[:-1] for name, values in table.items()}


@pytest.mark.parametrize(
    ("name", "change"),
    [("shard_table", one_row_less), ("merge_csv", lambda n_rows: n_rows - 1)],
)
def test_a_pair_that_gets_lost_is_a_bug_that_is_told(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    change: Callable[[Any], Any],
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    for lost in ("run.json", "ledger/score"):
        path = tmp_path / "audit" / lost
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    real = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args: change(real(*args)))
    done = score(tmp_path, encoder="toy-aligned")
    assert done.exit_code == 1
    assert "rows" in done.stderr
    assert not (tmp_path / "audit/run.json").exists()


def test_a_part_that_was_damaged_is_written_again(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    part = tmp_path / "audit/scores/1.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    (tmp_path / "audit/run.json").unlink()
    assert score(tmp_path, encoder="toy-aligned").exit_code == 0
    assert digests(tmp_path / "audit") == digests(whole / "audit")
