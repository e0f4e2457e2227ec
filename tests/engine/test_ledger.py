import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ncaudit.engine.ledger import Ledger
from ncaudit.errors import OutputExistsError

IDENTITY = {
    "seed": 0,
    "fit": {"dim": 128, "ridges": (1.0, 3.0)},
    "shards": [{"name": "a", "sha256": "1"}, {"name": "b", "sha256": "2"}],
}


def begin(root: Path, identity: dict[str, Any] = IDENTITY) -> Ledger:
    ledger = Ledger(root)
    with ledger.claim():
        ledger.begin(identity)
    return ledger


def test_a_shard_is_done_only_under_the_key_it_was_done_with(tmp_path: Path) -> None:
    ledger = begin(tmp_path / "run")
    assert ledger.done("embed", "x/a", "k1") is None
    ledger.commit("embed", "x/a", "k1", {"tally": {"n": 3}})
    assert ledger.done("embed", "x/a", "k1") == {"key": "k1", "tally": {"n": 3}}
    assert ledger.done("embed", "x/a", "k2") is None
    assert ledger.done("score", "x/a", "k1") is None


def test_a_broken_marker_counts_as_not_done(tmp_path: Path) -> None:
    ledger = begin(tmp_path)
    ledger.commit("embed", "a", "k", {})
    (tmp_path / "ledger/embed/a.json").write_text("{")
    assert ledger.done("embed", "a", "k") is None


def test_the_same_run_begins_again(tmp_path: Path) -> None:
    begin(tmp_path)
    begin(tmp_path)
    assert json.loads((tmp_path / "ledger/identity.json").read_text())["seed"] == 0


def test_another_run_is_refused_with_every_difference(tmp_path: Path) -> None:
    begin(tmp_path)
    other = {
        "seed": 1,
        "fit": {"dim": 128, "ridges": (1.0,)},
        "model": "m",
        "shards": [{"name": "b", "sha256": "3"}, {"name": "c", "sha256": "4"}],
    }
    with pytest.raises(OutputExistsError) as caught:
        begin(tmp_path, other)
    assert str(caught.value).splitlines() == [
        f"{tmp_path} belongs to another run:",
        "  seed: 0 -> 1",
        "  fit.ridges: [1.0, 3.0] -> [1.0]",
        "  model: (not set) -> 'm'",
        "  shards: added c",
        "  shards: removed a",
        "  shards: changed b",
    ]
    assert caught.value.exit_code == 5


def test_a_shard_that_only_moved_is_the_same(tmp_path: Path) -> None:
    begin(tmp_path, {"shards": [{"name": "a", "sha256": "1", "path": "/x/a.tar"}]})
    begin(tmp_path, {"shards": [{"name": "a", "sha256": "1", "path": "/y/a.tar"}]})


def test_shards_in_another_order_are_another_run(tmp_path: Path) -> None:
    begin(tmp_path)
    with pytest.raises(OutputExistsError, match="shards: the order changed"):
        begin(tmp_path, IDENTITY | {"shards": IDENTITY["shards"][::-1]})  # type: ignore[index]


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    with (
        pytest.raises(OutputExistsError, match="not an ncaudit run directory"),
        Ledger(tmp_path).claim(),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(OutputExistsError):
        begin(tmp_path / "run")


def test_a_run_killed_before_it_said_who_it_is_can_begin(tmp_path: Path) -> None:
    with Ledger(tmp_path).claim():
        pass
    (tmp_path / "ledger/.tmp-1-identity.json").touch()
    begin(tmp_path)
    assert not (tmp_path / "ledger/.tmp-1-identity.json").exists()


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "embeddings/x/.tmp-7-a").mkdir(parents=True)
    (tmp_path / "embeddings/x/.tmp-7-a/image.npy").touch()
    (tmp_path / "scores.parquet").touch()
    begin(tmp_path)
    assert list((tmp_path / "embeddings/x").iterdir()) == []
    assert (tmp_path / "scores.parquet").exists()


def test_a_broken_identity_is_refused(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "ledger/identity.json").write_text("{")
    with pytest.raises(OutputExistsError, match="cannot be read"):
        begin(tmp_path)


def test_a_second_run_in_the_folder_is_told_who_holds_it(tmp_path: Path) -> None:
    with (
        Ledger(tmp_path).claim(),
        pytest.raises(OutputExistsError, match=f"in use by process {os.getpid()} on "),
        Ledger(tmp_path).claim(),
    ):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from ncaudit.engine.ledger import Ledger\n"
        "with Ledger(Path(sys.argv[1])).claim(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    begin(tmp_path)
