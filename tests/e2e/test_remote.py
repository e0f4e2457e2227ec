"""Shards on a web server: the same numbers as from disk, and never a copy on disk."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import fsspec
import pytest

from ncaudit import files
from tests.support.audits import ncaudit, write_striped
from tests.support.http_shards import served


def score(shards: str, out: Path, *words: object) -> Any:
    where = ["-o", out, "--encoder", "toy-aligned", "--quiet"]
    return ncaudit("score", shards, *where, *words)


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "audit.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("on_disk")
    write_striped(folder, n_shards=2, n_pairs=110)
    done = score(str(folder / "shards"), folder / "audit")
    assert done.exit_code == 0, done.output
    return folder


def test_shards_on_a_web_server_score_as_those_on_disk(on_disk: Path, tmp_path: Path) -> None:
    with served(on_disk / "shards") as server:
        done = score(f"{server.url}/{{0..1}}.tar", tmp_path / "audit")
    assert done.exit_code == 0, done.output
    assert rows(tmp_path / "audit") == rows(on_disk / "audit")


def test_no_shard_is_copied_to_disk(on_disk: Path, tmp_path: Path) -> None:
    with served(on_disk / "shards") as server:
        score(f"{server.url}/{{0..1}}.tar", tmp_path / "audit")
    assert not list(tmp_path.rglob("*.tar"))


def test_a_second_run_does_not_read_the_shards_again(on_disk: Path, tmp_path: Path) -> None:
    with served(on_disk / "shards") as server:
        score(f"{server.url}/{{0..1}}.tar", tmp_path / "audit")
        server.requests.clear()
        assert score(f"{server.url}/{{0..1}}.tar", tmp_path / "audit").exit_code == 0
        # That there is no file called {0..1}.tar is found out by asking for it.
        got = [
            path for method, path, _ in server.requests if method == "GET" and "%7B" not in path
        ]
        assert got == []


def test_what_was_scored_on_a_web_server_is_cleaned_from_there(
    on_disk: Path, tmp_path: Path
) -> None:
    with served(on_disk / "shards") as server:
        score(f"{server.url}/{{0..1}}.tar", tmp_path / "audit")
        done = ncaudit("clean", tmp_path / "audit", "-o", tmp_path / "cleaned", "--threshold", 0.5)
    assert done.exit_code == 0, done.output
    ncaudit("clean", on_disk / "audit", "-o", tmp_path / "local", "--threshold", 0.5)
    written = [
        {
            str(path.relative_to(tmp_path / folder)): hashlib.sha256(path.read_bytes()).digest()
            for path in (tmp_path / folder).rglob("*.tar")
        }
        for folder in ("cleaned", "local")
    ]
    assert {"0.tar", "1.tar"} <= set(written[0])
    assert written[0] == written[1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_worker_processes_read_urls_too(on_disk: Path, tmp_path: Path, toys: Path) -> None:
    assert toys.is_dir()
    with served(on_disk / "shards") as server:
        done = score(f"{server.url}/{{0..1}}.tar", tmp_path / "audit", "--workers", 2)
    assert done.exit_code == 0, done.output
    assert rows(tmp_path / "audit") == rows(on_disk / "audit")


def test_a_shard_that_is_not_there_is_named(on_disk: Path, tmp_path: Path) -> None:
    with served(on_disk / "shards") as server:
        done = score(f"{server.url}/7.tar", tmp_path / "audit")
    assert done.exit_code == 3
    assert "7.tar does not exist" in done.output


def test_connections_that_break_off_are_taken_up_again(
    on_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_RETRY_WAITS_S", (0.0, 0.0))
    with served(on_disk / "shards") as server:
        server.cut = 2
        done = score(f"{server.url}/{{0..1}}.tar", tmp_path / "audit")
        assert server.cut == 0
    assert done.exit_code == 0, done.output
    assert rows(tmp_path / "audit") == rows(on_disk / "audit")


def test_a_shard_that_vanishes_in_the_middle_is_named_and_the_other_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_RETRY_WAITS_S", (0.0, 0.0))
    write_striped(tmp_path, n_shards=2, n_pairs=220)
    with served(tmp_path / "shards") as server:
        server.cut, server.gone_after = 1, "1.tar"
        done = score(f"{server.url}/{{0..1}}.tar", tmp_path / "audit")
    assert done.exit_code == 4, done.output
    assert "1.tar" in done.output
    of = {"0": 0, "1": 0}
    for row in rows(tmp_path / "audit"):
        of[row["shard"]] += row["status"] == "scored"
    assert of["0"] == 220
    assert of["1"] < 220


def test_shards_in_a_file_system_of_fsspec(on_disk: Path, tmp_path: Path) -> None:
    for number in range(2):
        with fsspec.open(f"memory://e2e/{number}.tar", "wb") as file:
            file.write((on_disk / f"shards/{number}.tar").read_bytes())
    done = score("memory://e2e/*.tar", tmp_path / "audit")
    assert done.exit_code == 0, done.output
    assert rows(tmp_path / "audit") == rows(on_disk / "audit")
