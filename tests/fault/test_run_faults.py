"""Whole runs that go wrong: the exit code, what the user reads, and what must not happen."""

import csv
import json
import shutil
import socket
from pathlib import Path

import pytest

from ncaudit import files
from tests.fault.run_faults import RUN_FAULTS, RunFault, Scene
from tests.fault.shard_faults import GOOD, PICKLE
from tests.support.audits import ncaudit, score, write_striped
from tests.support.flaky_server import flaky_server
from tests.support.shards import json_bytes, write_shard


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    write_striped(folder, 2, 125)
    done = score(folder, encoder="toy-aligned")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def scene(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(files, "_RETRY_WAITS_S", (0.0, 0.0))
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return Scene(tmp_path, monkeypatch)


@pytest.mark.parametrize("fault", RUN_FAULTS, ids=[fault.name for fault in RUN_FAULTS])
def test_a_run_that_goes_wrong_says_so_and_leaks_nothing(fault: RunFault, scene: Scene) -> None:
    done = fault.act(scene)
    assert done.exit_code == fault.exit_code, done.output
    assert fault.reads in done.output
    assert "Traceback" not in done.output
    assert "\x1b" not in done.output
    assert "s3cret" not in done.output
    assert "t0ken" not in done.output
    assert not (scene.folder / "ran").exists()


def test_no_address_in_the_data_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    address = "http://192.0.2.1/secret.jpg"
    members = {**GOOD, "json": json_bytes({"url": address, "caption": address})}
    write_shard(tmp_path / "shards/0.tar", [(f"{n}", members) for n in range(30)])
    assert score(tmp_path, encoder="toy-aligned").exit_code == 6  # too few pairs, all read


def test_no_member_is_unpickled_or_written_to_the_path_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle  # noqa: TID251 - to see that nothing uses it

    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(pickle, "load", None)
    bomb = {**GOOD, "pyd": PICKLE, "pkl": PICKLE, "pth": PICKLE}
    samples = [
        ("../up", GOOD),
        (f"{tmp_path}/absolute", GOOD),
        *[(f"{n}", bomb) for n in range(9)],
    ]
    write_shard(tmp_path / "in/shards/0.tar", samples)
    before = set(tmp_path.rglob("*"))
    assert score(tmp_path / "in", encoder="toy-aligned").exit_code == 6
    new = set(tmp_path.rglob("*")) - before
    assert all((tmp_path / "in/audit") in (path, *path.parents) for path in new)


HOSTILE = '\x1b]0;owned\x07[red]=HYPERLINK("x")\u202e'
FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", " =1", "\uff1d1", "\uff0b1", "\u200b=1"]


def test_captions_and_keys_cannot_start_a_formula_or_leave_their_cell(tmp_path: Path) -> None:
    captions = [*FORMULAS, 'a","=1+1', "a;=1+1", "a\n=1+1", "a\t=1+1", HOSTILE]
    samples = [
        (f"={n}", {"jpg": GOOD["jpg"], "txt": caption.encode()})
        for n, caption in enumerate(captions)
    ]
    write_shard(tmp_path / "shards/=0.tar", samples)
    score(tmp_path, encoder="toy-aligned")
    text = (tmp_path / "audit/audit.csv").read_bytes().decode()
    assert text.count("\n") == len(captions) + 1
    assert not set(text) & {"\x1b", "\x07", "\t", "\r", "\u202e"}
    for row in csv.reader(text.splitlines()[1:]):
        assert len(row) == len(next(csv.reader([text.splitlines()[0]])))
        for cell in row[:2] + row[9:10]:
            assert not cell.lstrip(" \u200b").startswith(tuple("=+-@\uff1d\uff0b")), cell


def test_no_escape_sequence_or_markup_of_a_key_reaches_the_terminal(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", [("[red]\x1b[31mkey", GOOD), ("[bold]b", {"txt": b"x"})])
    done = ncaudit("validate", tmp_path, "-q", "--no-decode")
    assert "\x1b" not in done.output
    assert "[red]\\x1b[31mkey  unsafe_name" in done.stdout
    assert "[bold]b  image_missing" in done.stdout


def test_the_secrets_of_a_url_are_in_no_file_of_the_run(tmp_path: Path) -> None:
    write_shard(tmp_path / "data/0.tar", [(f"{n}", GOOD) for n in range(20)])
    with flaky_server(tmp_path / "data") as server:
        url = f"{server.url}/0.tar?token=t0ken"
        words = ["-o", tmp_path / "audit", "--encoder", "toy-aligned", "-q"]
        assert ncaudit("score", url, *words).exit_code == 6
    written = [path for path in (tmp_path / "audit").rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"run.json", "audit.csv", "shard.json"}
    for path in written:
        assert "t0ken" not in str(path)
        content = path.read_bytes()
        assert b"t0ken" not in content, path
        assert b"s3cret" not in content, path
    shards = json.loads((tmp_path / "audit/run.json").read_text())["shards"]
    assert [shard["name"] for shard in shards] == ["0"]
